package main

// The strict parser of a real server: elements in schema order, nothing unknown, nothing missing, xsi:type where the
// declared type is a base. The order comes from the govmomi types, which are generated from the schema.

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

type strictError struct {
	text   string
	offset int64
	inside []string
}

func (e *strictError) Error() string { return e.text }

type strictChecker struct {
	data   []byte
	method string
}

// checkRequest compares a method element with its schema type; nil when a real server would accept it.
func checkRequest(data []byte, method *xmlNode) *strictError {
	t, ok := types.TypeFunc()(method.name)
	if !ok {
		return &strictError{text: fmt.Sprintf("Unable to resolve WSDL method name %s", method.name), offset: method.offset}
	}
	c := &strictChecker{data: data, method: method.name}
	return c.object(method, t)
}

// sentence is the fault text of hostd, with its chain of places.
func (e *strictError) sentence(data []byte, method *xmlNode, thisType string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", e.text)
	for _, where := range e.inside {
		fmt.Fprintf(&b, "while parsing serialized DataObject of type %s\nat %s\n\n", where, place(data, e.offset))
	}
	fmt.Fprintf(&b, "while parsing call information for method %s\nat %s\n\n", method.name, place(data, method.offset))
	fmt.Fprintf(&b, "while parsing SOAP body\n\nwhile parsing SOAP envelope\n\n"+
		"while parsing HTTP request for method %s\non object of type %s", method.name, thisType)
	return b.String()
}

type schemaField struct {
	xmlField
	kind reflect.Type
	list bool
}

// schemaFields flattens base types first, as the schema's sequence does.
func schemaFields(t reflect.Type) []schemaField {
	var fields []schemaField
	for _, f := range xmlFields(t) {
		sf := t.Field(f.index)
		if f.embedded {
			fields = append(fields, schemaFields(sf.Type)...)
			continue
		}
		// govmomi marks optional booleans and times by a pointer only.
		f.omitEmpty = f.omitEmpty || sf.Type.Kind() == reflect.Ptr
		kind, list := sf.Type, false
		if kind.Kind() == reflect.Slice && kind.Elem().Kind() != reflect.Uint8 {
			kind, list = kind.Elem(), true
		}
		for kind.Kind() == reflect.Ptr {
			kind = kind.Elem()
		}
		fields = append(fields, schemaField{f, kind, list})
	}
	return fields
}

func (c *strictChecker) object(node *xmlNode, t reflect.Type) *strictError {
	fields := schemaFields(t)
	next := 0
	seen := map[string]bool{}
	for _, child := range node.children {
		at := -1
		for i := next; i < len(fields); i++ {
			if !fields[i].attribute && !fields[i].text && fields[i].name == child.name {
				at = i
				break
			}
			if !fields[i].omitEmpty && !seen[fields[i].name] {
				break
			}
		}
		if at < 0 {
			return c.unexpected(child, fields, next, seen, t)
		}
		field := fields[at]
		if seen[field.name] && !field.list {
			return c.fail(child, t, "Unexpected element tag \"%s\" seen", child.name)
		}
		seen[field.name] = true
		next = at
		if err := c.value(child, field); err != nil {
			err.inside = append(err.inside, t.Name())
			return err
		}
		if !field.list {
			next = at + 1
		}
	}
	for _, field := range fields {
		if !field.omitEmpty && !field.attribute && !field.text && !seen[field.name] && !c.mayBeAbsent(t, field) {
			return c.missing(node, field.name, t)
		}
	}
	return nil
}

// A list without a mark may be empty in the schema only where govmomi says so; these are the documented exceptions.
func (c *strictChecker) mayBeAbsent(t reflect.Type, field schemaField) bool {
	return field.kind.Kind() == reflect.Interface && field.kind.NumMethod() == 0 && t.Name() == "PropertyChange"
}

func (c *strictChecker) unexpected(child *xmlNode, fields []schemaField, next int, seen map[string]bool, t reflect.Type) *strictError {
	for i := next; i < len(fields); i++ {
		f := fields[i]
		if !f.omitEmpty && !seen[f.name] && !f.attribute && !f.text {
			for _, later := range fields[i+1:] {
				if later.name == child.name {
					return c.missing(child, f.name, t)
				}
			}
			break
		}
	}
	return c.fail(child, t, "Unexpected element tag \"%s\" seen", child.name)
}

func (c *strictChecker) missing(node *xmlNode, name string, t reflect.Type) *strictError {
	if t.Name() == c.method {
		return c.fail(node, t, "Missing parameter %s", name)
	}
	return c.fail(node, t, "Required property %s is missing from data object of type %s", name, t.Name())
}

func (c *strictChecker) fail(node *xmlNode, t reflect.Type, format string, args ...interface{}) *strictError {
	return &strictError{text: fmt.Sprintf(format, args...), offset: node.offset, inside: []string{t.Name()}}
}

func (c *strictChecker) value(node *xmlNode, field schemaField) *strictError {
	kind := field.kind
	named, hasType := node.attr(xsiNamespace, "type")
	named = named[strings.IndexByte(named, ':')+1:]
	if kind.Kind() == reflect.Interface {
		if kind.NumMethod() == 0 && !hasType {
			return &strictError{text: fmt.Sprintf("Element \"%s\" of type anyType needs an xsi:type", node.name), offset: node.offset}
		}
		name := strings.TrimPrefix(kind.Name(), "Base")
		if hasType {
			name = named
		}
		if hasType && kind.NumMethod() == 0 && isXSD(node, name) {
			return nil
		}
		resolved, ok := types.TypeFunc()(name)
		if !ok || (kind.NumMethod() > 0 && !reflect.PtrTo(resolved).Implements(kind)) {
			return &strictError{text: fmt.Sprintf("Type \"%s\" is not allowed for element \"%s\"", name, node.name), offset: node.offset}
		}
		kind = resolved
	} else if hasType && kind.Kind() == reflect.Struct && kind != timeType && named != kind.Name() {
		return &strictError{text: fmt.Sprintf("Type \"%s\" is not allowed for element \"%s\"", named, node.name), offset: node.offset}
	}
	if kind.Name() == "ManagedObjectReference" {
		if _, ok := node.attr("", "type"); !ok {
			return &strictError{text: fmt.Sprintf("Managed object reference \"%s\" has no type attribute", node.name), offset: node.offset}
		}
		return nil
	}
	if kind.Kind() == reflect.Struct && kind != timeType {
		return c.object(node, kind)
	}
	return scalar(node, kind)
}

func isXSD(node *xmlNode, name string) bool {
	value, _ := node.attr(xsiNamespace, "type")
	switch name {
	case "string", "int", "long", "boolean", "short", "byte", "double", "float", "dateTime", "base64Binary":
		return strings.Contains(value, ":")
	}
	return false
}

func scalar(node *xmlNode, kind reflect.Type) *strictError {
	text := strings.TrimSpace(node.text)
	var err error
	if len(node.children) > 0 {
		err = fmt.Errorf("it holds elements")
	}
	switch kind.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" && text != "1" && text != "0" {
			err = fmt.Errorf("not a boolean")
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(text, 10, kind.Bits())
	case reflect.Struct:
		_, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		return &strictError{text: fmt.Sprintf("Invalid value \"%s\" of element \"%s\": %v", text, node.name, err), offset: node.offset}
	}
	return nil
}
