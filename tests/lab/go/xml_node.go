package main

// A request as a tree of elements with their places in the text, for the checks that come before decoding.

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type xmlNode struct {
	space, name string
	attrs       []xml.Attr
	children    []*xmlNode
	text        string
	offset      int64
}

const xsiNamespace = "http://www.w3.org/2001/XMLSchema-instance"

func (n *xmlNode) attr(space, name string) (string, bool) {
	for _, a := range n.attrs {
		if a.Name.Local == name && a.Name.Space == space {
			return a.Value, true
		}
	}
	return "", false
}

func (n *xmlNode) child(name string) *xmlNode {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func parseXML(data []byte) (*xmlNode, error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	root := &xmlNode{}
	stack := []*xmlNode{root}
	for {
		offset := decoder.InputOffset()
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			node := &xmlNode{space: t.Name.Space, name: t.Name.Local, attrs: t.Copy().Attr, offset: offset}
			top.children = append(top.children, node)
			stack = append(stack, node)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
	if len(root.children) != 1 {
		return nil, fmt.Errorf("no document element")
	}
	return root.children[0], nil
}

// place is "line 3, column 14" of an offset.
func place(data []byte, offset int64) string {
	before := string(data[:offset])
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("line %d, column %d", line, column)
}
