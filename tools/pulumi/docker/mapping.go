package main

import (
	"context"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/terraform-providers/terraform-provider-docker/shim"
)

const (
	packageName = "docker"
	module      = "index"
	defaultHost = "unix:///var/run/docker.sock"
	longestName = 255
)

// mapped says which Terraform names stand behind which Pulumi names. What is not listed follows the bridge's rules.
func mapped(version string) tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:           sdkv2.NewProvider(shim.NewProvider(version)),
		Name:        packageName,
		DisplayName: "Docker (unofficial build)",
		Version:     version,
		GitHubOrg:   "kreuzwerker",
		Config: map[string]*tfbridge.SchemaInfo{
			"host":          {Default: &tfbridge.DefaultInfo{EnvVars: []string{"DOCKER_HOST"}, ComputeDefault: standardHost}},
			"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"docker_config": {Tok: "docker:index/serviceConfig:ServiceConfig"},
			"docker_image":  {Tok: "docker:index/remoteImage:RemoteImage", Fields: named("name", "name")},
			"docker_container": {
				Tok:                 "docker:index/container:Container",
				DeleteBeforeReplace: true, // its name and ports are taken until it is gone
				Fields:              named("command", "command", "networks_advanced", "networksAdvanced"),
			},
		},
		DataSources: map[string]*tfbridge.DataSourceInfo{
			"docker_image": {Tok: "docker:index/getRemoteImage:getRemoteImage"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("docker_", module, tokens.MakeStandard(packageName)))
	info.SetAutonaming(longestName, "-")
	return info
}

// named gives fields, in pairs of both names, the name that the bridge would otherwise put in the plural or end at random.
func named(pairs ...string) map[string]*tfbridge.SchemaInfo {
	fields := map[string]*tfbridge.SchemaInfo{}
	for index := 0; index < len(pairs); index += 2 {
		fields[pairs[index]] = &tfbridge.SchemaInfo{Name: pairs[index+1]}
	}
	return fields
}

func standardHost(context.Context, tfbridge.ComputeDefaultOptions) (any, error) {
	return defaultHost, nil
}
