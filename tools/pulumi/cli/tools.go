//go:build tools

// Package tools pins the Pulumi CLI: importing it here keeps it and everything it needs in go.mod and go.sum.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
