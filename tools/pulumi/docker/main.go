// Pulumi's Docker plugin, unofficial: Pulumi's bridge over the same Terraform provider, for machines that cannot
// download the official one. It answers to the names that the Python package pulumi_docker uses.
package main

import (
	"encoding/json"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"
)

// version is the official plugin's whose names these are; the linker sets it.
var version = "0.0.0"

func main() {
	mapping := mapped(version)
	answer, err := json.Marshal(schemaOf(mapping))
	if err != nil {
		cmdutil.ExitError(err.Error())
	}
	tfbridge.Main(mapping.Name, version, mapping, answer)
}
