//go:build tools

// Package tools pins Pulumi's Python language host at its last release inside the SDK module.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
