package main

import (
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// description collects the types of nested objects while the resources that hold them are described.
type description struct {
	types map[string]schema.ComplexTypeSpec
}

// schemaOf tells every name and type of the plugin, named by the function that names them at run time. The official
// schema holds prose for documentation as well; what programs rely on is here.
func schemaOf(info tfbridge.ProviderInfo) schema.PackageSpec {
	d := description{types: map[string]schema.ComplexTypeSpec{}}
	spec := schema.PackageSpec{
		Name:        info.Name,
		DisplayName: info.DisplayName,
		Version:     info.Version,
		Meta:        &schema.MetadataSpec{ModuleFormat: "(.*)(?:/[^/]*)"}, // the module is what stands before the slash
		Resources:   map[string]schema.ResourceSpec{},
		Functions:   map[string]schema.FunctionSpec{},
		Types:       d.types,
	}
	provider := d.resource("docker:index/provider:Provider", info.P.Schema(), info.Config)
	spec.Provider = &provider
	spec.Config = schema.ConfigSpec{Variables: provider.InputProperties}
	for name, resource := range info.Resources {
		token := string(resource.Tok)
		spec.Resources[token] = d.resource(token, info.P.ResourcesMap().Get(name).Schema(), resource.Fields)
	}
	for name, source := range info.DataSources {
		token := string(source.Tok)
		spec.Functions[token] = d.function(token, info.P.DataSourcesMap().Get(name).Schema(), source.Fields)
	}
	return spec
}

func (d description) resource(
	token string, fields shim.SchemaMap, overrides map[string]*tfbridge.SchemaInfo,
) schema.ResourceSpec {
	inputs, required := d.properties(token, fields, overrides, isInput)
	return schema.ResourceSpec{
		ObjectTypeSpec:  d.object(token, fields, overrides),
		InputProperties: inputs,
		RequiredInputs:  required,
	}
}

func (d description) function(
	token string, fields shim.SchemaMap, overrides map[string]*tfbridge.SchemaInfo,
) schema.FunctionSpec {
	inputs, required := d.properties(token, fields, overrides, isInput)
	outputs := d.object(token, fields, overrides)
	outputs.Properties["id"] = schema.PropertySpec{TypeSpec: schema.TypeSpec{Type: "string"}} // the bridge adds it
	return schema.FunctionSpec{
		Inputs:  &schema.ObjectTypeSpec{Type: "object", Properties: inputs, Required: required},
		Outputs: &outputs,
	}
}

func (d description) object(
	token string, fields shim.SchemaMap, overrides map[string]*tfbridge.SchemaInfo,
) schema.ObjectTypeSpec {
	properties, _ := d.properties(token, fields, overrides, func(shim.Schema) bool { return true })
	return schema.ObjectTypeSpec{Type: "object", Properties: properties}
}

func isInput(field shim.Schema) bool {
	return field.Optional() || field.Required()
}

// properties describes the wanted fields and names those that must be given.
func (d description) properties(
	token string, fields shim.SchemaMap, overrides map[string]*tfbridge.SchemaInfo, wanted func(shim.Schema) bool,
) (map[string]schema.PropertySpec, []string) {
	described, required := map[string]schema.PropertySpec{}, []string{}
	fields.Range(func(name string, field shim.Schema) bool {
		if field.Removed() != "" || !wanted(field) {
			return true
		}
		pulumiName := tfbridge.TerraformToPulumiNameV2(name, fields, overrides)
		described[pulumiName] = schema.PropertySpec{
			TypeSpec: d.typeOf(nested(token, pulumiName), field, overrides[name]),
			Secret:   field.Sensitive(),
		}
		if field.Required() && (overrides[name] == nil || overrides[name].Default == nil) {
			required = append(required, pulumiName)
		}
		return true
	})
	return described, required
}

// nested is the token of the objects in a property: ContainerPorts for the ports of Container.
func nested(token, property string) string {
	_, owner, _ := strings.Cut(strings.TrimPrefix(token, "docker:"), ":")
	name := owner + strings.ToUpper(property[:1]) + property[1:]
	return "docker:index/" + name + ":" + name
}

func (d description) typeOf(token string, field shim.Schema, override *tfbridge.SchemaInfo) schema.TypeSpec {
	switch field.Type() {
	case shim.TypeBool:
		return schema.TypeSpec{Type: "boolean"}
	case shim.TypeInt:
		return schema.TypeSpec{Type: "integer"}
	case shim.TypeFloat:
		return schema.TypeSpec{Type: "number"}
	case shim.TypeMap:
		item := d.element(token, field)
		return schema.TypeSpec{Type: "object", AdditionalProperties: &item}
	case shim.TypeList, shim.TypeSet:
		item := d.element(token, field)
		if tfbridge.IsMaxItemsOne(field, override) {
			return item
		}
		return schema.TypeSpec{Type: "array", Items: &item}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}

// element is the type of what a list, a set or a map holds; a map that does not say holds strings.
func (d description) element(token string, field shim.Schema) schema.TypeSpec {
	switch held := field.Elem().(type) {
	case shim.Schema:
		return d.typeOf(token, held, nil)
	case shim.Resource:
		d.types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: d.object(token, held.Schema(), nil)}
		return schema.TypeSpec{Ref: "#/types/" + token}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}
