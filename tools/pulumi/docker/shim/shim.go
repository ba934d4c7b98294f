// Package shim opens the Terraform provider to this build: Go lets only modules below the provider's own path import
// its internal packages.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider is the Terraform provider. version: what it calls itself to the engine, as part of its user agent.
func NewProvider(version string) *schema.Provider {
	return provider.New(version)()
}
