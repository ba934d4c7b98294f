//go:build tools

// Package tools pins actionlint, which checks the workflows of this project.
package tools

import _ "github.com/rhysd/actionlint/cmd/actionlint"
