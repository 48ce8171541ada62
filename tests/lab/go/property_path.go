package main

// Property paths as hosts read them: dotted names, and [key] to pick one element of a list.

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

type pathSegment struct {
	name  string
	key   string
	keyed bool
}

// Paths and fields are looked up for every property of every machine: both answers are kept.
var (
	pathCache  sync.Map // string -> []pathSegment
	fieldCache sync.Map // fieldKey -> *reflect.StructField, nil when there is none
)

type fieldKey struct {
	t    reflect.Type
	name string
}

func cachedPath(path string) ([]pathSegment, bool) {
	if known, ok := pathCache.Load(path); ok {
		return known.([]pathSegment), true
	}
	segments, ok := parsePath(path)
	if ok {
		pathCache.Store(path, segments)
	}
	return segments, ok
}

func cachedField(t reflect.Type, name string) *reflect.StructField {
	key := fieldKey{t, name}
	if known, ok := fieldCache.Load(key); ok {
		return known.(*reflect.StructField)
	}
	var result *reflect.StructField
	if field, found := t.FieldByName(goFieldName(name)); found && !(field.Anonymous && field.Type.PkgPath() == moPackage) {
		result = &field
	}
	fieldCache.Store(key, result)
	return result
}

func parsePath(path string) ([]pathSegment, bool) {
	var segments []pathSegment
	for rest := path; rest != ""; {
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			return append(segments, pathSegment{name: rest}), true
		}
		segment := pathSegment{name: rest[:end]}
		if rest[end] == '[' {
			closing := strings.IndexByte(rest, ']')
			if closing < 0 {
				return nil, false
			}
			segment.key, segment.keyed = strings.Trim(rest[end+1:closing], `"`), true
			rest = strings.TrimPrefix(rest[closing+1:], ".")
		} else {
			rest = rest[end+1:]
			if rest == "" {
				return nil, false
			}
		}
		segments = append(segments, segment)
	}
	return segments, len(segments) > 0
}

func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Ptr || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return reflect.Value{}
		}
		v = v.Elem()
	}
	return v
}

func goFieldName(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// lookup finds a property. valid is false when the type has no such property at all.
func lookup(object reflect.Value, path string) (value reflect.Value, valid bool) {
	segments, ok := cachedPath(path)
	if !ok {
		return reflect.Value{}, false
	}
	v, t := object, object.Type()
	for _, segment := range segments {
		if v.IsValid() {
			v = indirect(v)
		}
		if v.IsValid() {
			t = v.Type()
		}
		for t.Kind() == reflect.Ptr {
			t = t.Elem()
		}
		if t.Kind() == reflect.Interface {
			return reflect.Value{}, true
		}
		if t.Kind() != reflect.Struct {
			return reflect.Value{}, false
		}
		field := cachedField(t, segment.name)
		if field == nil {
			return reflect.Value{}, false
		}
		t = field.Type
		if v.IsValid() {
			v = v.FieldByIndex(field.Index)
		}
		if segment.keyed {
			if t.Kind() != reflect.Slice {
				return reflect.Value{}, false
			}
			t = t.Elem()
			if v.IsValid() {
				v = pickElement(v, segment.key)
			}
		}
	}
	return v, true
}

func pickElement(list reflect.Value, key string) reflect.Value {
	for i := 0; i < list.Len(); i++ {
		element := indirect(list.Index(i))
		if !element.IsValid() || element.Kind() != reflect.Struct {
			continue
		}
		if field := element.FieldByName("Key"); field.IsValid() && fmt.Sprint(field.Interface()) == key {
			return list.Index(i)
		}
	}
	return reflect.Value{}
}

// isUnset tells whether a property has no value to send.
func isUnset(v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	switch v.Kind() {
	case reflect.Ptr, reflect.Interface:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return v.Type().Name() == "ManagedObjectReference" && v.FieldByName("Value").Len() == 0
	}
	return false
}
