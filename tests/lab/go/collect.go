package main

// Reading properties: which objects a filter selects, and what each of them answers.

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// selection is what a filter's objectSet leads to, in order and without repeats.
type selection struct {
	host    *host
	session *session
	specs   map[string]*types.TraversalSpec
	seen    map[moref]bool
	entered map[moref]map[string]bool
	refs    []moref
}

func (s *selection) add(ref moref) {
	if !s.seen[ref] {
		s.seen[ref] = true
		s.refs = append(s.refs, ref)
	}
}

func (s *selection) remember(set []types.BaseSelectionSpec) {
	for _, spec := range set {
		if t, ok := spec.(*types.TraversalSpec); ok {
			if t.Name != "" {
				s.specs[t.Name] = t
			}
			s.remember(t.SelectSet)
		}
	}
}

func (s *selection) follow(ref moref, object reflect.Value, set []types.BaseSelectionSpec) *soapFault {
	for _, spec := range set {
		t, ok := spec.(*types.TraversalSpec)
		if !ok {
			if t = s.specs[spec.GetSelectionSpec().Name]; t == nil {
				return fault(&types.InvalidArgument{InvalidProperty: "selectSet"})
			}
		}
		if t.Type != ref.Type && !isKind(ref, t.Type) {
			continue
		}
		if t.Name != "" {
			if s.entered[ref] == nil {
				s.entered[ref] = map[string]bool{}
			}
			if s.entered[ref][t.Name] {
				continue
			}
			s.entered[ref][t.Name] = true
		}
		value, valid := lookup(object, t.Path)
		if !valid {
			return fault(&types.InvalidProperty{Name: t.Path})
		}
		for _, next := range references(value) {
			if t.Skip == nil || !*t.Skip {
				s.add(next)
			}
			if child, found := s.host.sessionObject(s.session, next); found {
				if f := s.follow(next, child, t.SelectSet); f != nil {
					return f
				}
			}
		}
	}
	return nil
}

func references(v reflect.Value) []moref {
	v = indirect(v)
	if !v.IsValid() {
		return nil
	}
	switch refs := v.Interface().(type) {
	case moref:
		return []moref{refs}
	case []moref:
		return refs
	}
	return nil
}

// selectObjects evaluates objectSets; the caller holds the store's lock.
func (h *host) selectObjects(s *session, spec types.PropertyFilterSpec) ([]moref, *soapFault) {
	sel := &selection{host: h, session: s, specs: map[string]*types.TraversalSpec{}, seen: map[moref]bool{},
		entered: map[moref]map[string]bool{}}
	partial := spec.ReportMissingObjectsInResults != nil && *spec.ReportMissingObjectsInResults
	for _, o := range spec.ObjectSet {
		object, found := h.sessionObject(s, o.Obj)
		if !found {
			if partial {
				continue
			}
			return nil, notFound(o.Obj)
		}
		if o.Skip == nil || !*o.Skip {
			sel.add(o.Obj)
		}
		sel.remember(o.SelectSet)
		if f := sel.follow(o.Obj, object, o.SelectSet); f != nil {
			return nil, f
		}
	}
	return sel.refs, nil
}

// pathsFor lists the properties asked of one object; ok is false when no propSet is about its type.
func pathsFor(ref moref, object reflect.Value, spec types.PropertyFilterSpec) (paths []string, ok bool) {
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			paths = append(paths, path)
		}
	}
	for _, p := range spec.PropSet {
		if p.Type != ref.Type && !isKind(ref, p.Type) {
			continue
		}
		ok = true
		if p.All != nil && *p.All {
			for _, name := range allPaths(object.Type()) {
				add(name)
			}
		}
		for _, path := range p.PathSet {
			add(path)
		}
	}
	return paths, ok
}

func allPaths(t reflect.Type) []string {
	var names []string
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, allPaths(f.Type)...)
		} else if f.Name != "Self" {
			names = append(names, strings.ToLower(f.Name[:1])+f.Name[1:])
		}
	}
	return names
}

// validatePaths refuses a filter that names a property its type does not have, as a whole, like a real server.
func (h *host) validatePaths(spec types.PropertyFilterSpec) *soapFault {
	for _, p := range spec.PropSet {
		t, known := moType(p.Type)
		if !known {
			continue
		}
		for _, path := range p.PathSet {
			if _, valid := lookup(reflect.New(t).Elem(), path); !valid {
				return faultf(&types.InvalidProperty{Name: path}, "The property '%s' is not valid.", path)
			}
		}
	}
	return nil
}

// encodeProperty writes one value as <val xsi:type="...">; empty when the property is unset.
func encodeProperty(v reflect.Value) string {
	if isUnset(v) {
		return ""
	}
	var b bytes.Buffer
	v = indirect(v)
	if v.Kind() == reflect.Slice && v.Len() == 0 && v.Type().Elem().Kind() == reflect.Uint8 {
		return ""
	}
	encodeElement(&b, "val", v, true)
	return b.String()
}

func writeRef(b *bytes.Buffer, name string, ref moref) {
	b.WriteString("<" + name + ` type="` + ref.Type + `">`)
	writeText(b, ref.Value)
	b.WriteString("</" + name + ">")
}

// objectContent is one <objects> element. Without a session every property is missing for want of authentication,
// which is the second shape of an expired session.
func (h *host) objectContent(s *session, ref moref, spec types.PropertyFilterSpec) []byte {
	object, found := h.sessionObject(s, ref)
	if !found {
		return nil
	}
	paths, wanted := pathsFor(ref, object, spec)
	if !wanted {
		return nil
	}
	var b, missing bytes.Buffer
	b.WriteString("<objects>")
	writeRef(&b, "obj", ref)
	for _, path := range paths {
		value, valid := lookup(object, path)
		if s == nil {
			writeMissing(&missing, path, fault(&types.NotAuthenticated{NoPermission: types.NoPermission{Object: ref, PrivilegeId: "System.Read"}}))
			continue
		}
		if !valid {
			writeMissing(&missing, path, fault(&types.InvalidProperty{Name: path}))
			continue
		}
		if encoded := encodeProperty(value); encoded != "" {
			b.WriteString("<propSet><name>")
			writeText(&b, path)
			b.WriteString("</name>" + encoded + "</propSet>")
		}
	}
	b.Write(missing.Bytes())
	b.WriteString("</objects>")
	return b.Bytes()
}

func writeMissing(b *bytes.Buffer, path string, f *soapFault) {
	b.WriteString("<missingSet><path>")
	writeText(b, path)
	b.WriteString("</path>")
	encodeElement(b, "fault", reflect.ValueOf(*f.localized()), false)
	b.WriteString("</missingSet>")
}
