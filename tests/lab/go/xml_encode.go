package main

// Writes vim25 values as XML from their govmomi types. The simulator's own encoder is not used for answers: it drops
// zero values that real hosts send (exit codes, statistics) and spells xsi:type with another prefix.

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

type xmlField struct {
	index     int
	name      string
	omitEmpty bool
	typeAttr  bool
	attribute bool
	text      bool
	embedded  bool
}

var xmlFieldCache sync.Map

// xmlFields lists a struct's fields in schema order, from the govmomi tags.
func xmlFields(t reflect.Type) []xmlField {
	if cached, ok := xmlFieldCache.Load(t); ok {
		return cached.([]xmlField)
	}
	var fields []xmlField
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous {
			fields = append(fields, xmlField{index: i, embedded: true})
			continue
		}
		tag, ok := f.Tag.Lookup("xml")
		if !ok || tag == "-" || f.PkgPath != "" {
			continue
		}
		parts := strings.Split(tag, ",")
		field := xmlField{index: i, name: parts[0]}
		for _, option := range parts[1:] {
			switch option {
			case "omitempty":
				field.omitEmpty = true
			case "typeattr":
				field.typeAttr = true
			case "attr":
				field.attribute = true
			case "chardata":
				field.text = true
			}
		}
		fields = append(fields, field)
	}
	xmlFieldCache.Store(t, fields)
	return fields
}

// Numbers in these types are sent even when they are zero, as hostd does.
var zeroIsSent = map[string]bool{
	"VirtualMachineQuickStats": true, "HostListSummaryQuickStats": true, "VirtualHardware": true,
}

var timeType = reflect.TypeOf(time.Time{})

func xsdTypeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "xsd:boolean"
	case reflect.Int8, reflect.Uint8:
		return "xsd:byte"
	case reflect.Int16:
		return "xsd:short"
	case reflect.Int, reflect.Int32:
		return "xsd:int"
	case reflect.Int64:
		return "xsd:long"
	case reflect.Float32:
		return "xsd:float"
	case reflect.Float64:
		return "xsd:double"
	case reflect.String:
		if t.Name() == "string" {
			return "xsd:string"
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "xsd:base64Binary"
		}
		return "ArrayOf" + arrayElementName(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return "xsd:dateTime"
		}
	}
	return t.Name()
}

// arrayElementName is the tag of one element inside an ArrayOf value, and what follows ArrayOf in its type.
func arrayElementName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Interface:
		return strings.TrimPrefix(t.Name(), "Base")
	case reflect.String:
		if t.Name() == "string" {
			return "String"
		}
	case reflect.Int32, reflect.Int:
		return "Int"
	case reflect.Int64:
		return "Long"
	case reflect.Int16:
		return "Short"
	}
	return t.Name()
}

func isZero(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Ptr, reflect.Interface:
		return v.IsNil()
	case reflect.Slice, reflect.String, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return v.Type() == timeType && v.Interface().(time.Time).IsZero()
	case reflect.Bool:
		return !v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int() == 0
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0
	}
	return false
}

func writeText(b *bytes.Buffer, s string) { _ = xml.EscapeText(b, []byte(s)) }

// encodeElement writes <name>value</name>; nil pointers and interfaces write nothing, slices repeat the element.
func encodeElement(b *bytes.Buffer, name string, v reflect.Value, typeAttr bool) {
	for v.Kind() == reflect.Ptr || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Interface {
			typeAttr = true
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 && !typeAttr {
		for i := 0; i < v.Len(); i++ {
			encodeElement(b, name, v.Index(i), false)
		}
		return
	}
	b.WriteByte('<')
	b.WriteString(name)
	if v.Kind() == reflect.Struct && v.Type() != timeType {
		writeAttributes(b, v)
	}
	if typeAttr {
		b.WriteString(` xsi:type="` + xsdTypeName(v.Type()) + `"`)
	}
	b.WriteByte('>')
	encodeContent(b, v)
	b.WriteString("</")
	b.WriteString(name)
	b.WriteByte('>')
}

func writeAttributes(b *bytes.Buffer, v reflect.Value) {
	for _, f := range xmlFields(v.Type()) {
		if f.attribute {
			fmt.Fprintf(b, ` %s="`, f.name)
			writeText(b, v.Field(f.index).String())
			b.WriteByte('"')
		}
	}
}

func encodeContent(b *bytes.Buffer, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == timeType {
			b.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.000000Z"))
			return
		}
		encodeFields(b, v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
			return
		}
		name := arrayElementName(v.Type().Elem())
		if v.Type().Elem().PkgPath() == "" && v.Type().Elem().Kind() != reflect.Interface {
			name = strings.ToLower(name)
		}
		for i := 0; i < v.Len(); i++ {
			encodeElement(b, name, v.Index(i), false)
		}
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint8:
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.Float32, reflect.Float64:
		b.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case reflect.String:
		writeText(b, v.String())
	}
}

func encodeFields(b *bytes.Buffer, v reflect.Value) {
	t := v.Type()
	sendZero := zeroIsSent[t.Name()]
	process, ended := v.Interface().(types.GuestProcessInfo)
	ended = ended && process.EndTime != nil
	for _, f := range xmlFields(t) {
		field := v.Field(f.index)
		switch {
		case f.embedded:
			encodeFields(b, field)
		case f.text:
			writeText(b, field.String())
		case f.attribute:
		case f.omitEmpty && isZero(field):
			number := field.Kind() == reflect.Int32 || field.Kind() == reflect.Int64
			if (sendZero && number) || (ended && f.name == "exitCode") {
				encodeElement(b, f.name, field, false)
			}
		default:
			encodeElement(b, f.name, field, f.typeAttr && field.Kind() == reflect.Interface)
		}
	}
}
