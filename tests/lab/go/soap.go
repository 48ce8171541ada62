package main

// One SOAP call: from the request's bytes to the answer's, with the faults in between.

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

// call is one request on its way through the handlers.
type call struct {
	host    *host
	session *session
	method  string
	this    moref
	body    interface{}
	request *http.Request
	writer  http.ResponseWriter
}

// rawXML is an answer that is already encoded.
type rawXML []byte

// soapFault is a failed call. The detail decides what clients do; the text is for people.
type soapFault struct {
	text   string
	detail types.BaseMethodFault
}

type handler func(*call) (interface{}, *soapFault)

var faultTexts = map[string]string{
	"NotAuthenticated":           "The session is not authenticated.",
	"InvalidLogin":               "Cannot complete login due to an incorrect user name or password.",
	"NoPermission":               "Permission to perform this operation was denied.",
	"NotSupported":               "The operation is not supported on the object.",
	"NotImplemented":             "The operation is not implemented.",
	"RestrictedVersion":          "Current license or ESXi version prohibits execution of the requested operation.",
	"ManagedObjectNotFound":      "The object has already been deleted or has not been completely created",
	"InvalidPowerState":          "The attempted operation cannot be performed in the current state.",
	"InvalidState":               "The operation is not allowed in the current state.",
	"TaskInProgress":             "Another task is already in progress.",
	"FileAlreadyExists":          "The file already exists",
	"FileNotFound":               "File was not found",
	"FileLocked":                 "Unable to access file since it is locked",
	"CannotAccessFile":           "Unable to access file",
	"NoDiskSpace":                "Insufficient disk space on datastore.",
	"InvalidDatastore":           "Invalid datastore.",
	"InvalidDatastorePath":       "Invalid datastore path.",
	"GuestOperationsUnavailable": "The guest operations agent could not be contacted.",
	"InvalidGuestLogin":          "Failed to authenticate with the guest operating system using the supplied credentials.",
	"GuestPermissionDenied":      "Permission to perform this operation was denied in the guest.",
	"ToolsUnavailable":           "Cannot complete operation because VMware Tools is not running in this virtual machine.",
	"InvalidCollectorVersion":    "The version of the collector is not valid.",
	"RequestCanceled":            "The task was canceled by a user.",
	"DuplicateName":              "The name already exists.",
	"AlreadyExists":              "The specified key, name, or identifier already exists.",
	"InvalidArgument":            "A specified parameter was not correct.",
	"InvalidProperty":            "A specified property was not correct.",
	"InvalidDeviceSpec":          "Invalid configuration for device.",
	"TooManyGuestLogons":         "Too many guest logons.",
	"GuestProcessNotFound":       "The guest process was not found.",
	"HostConnectFault":           "Cannot connect to host.",
	"SystemError":                "A general system error occurred.",
}

func faultName(detail types.BaseMethodFault) string { return reflect.TypeOf(detail).Elem().Name() }

func fault(detail types.BaseMethodFault) *soapFault {
	name := faultName(detail)
	text := faultTexts[name]
	switch d := detail.(type) {
	case *types.InvalidArgument:
		text = fmt.Sprintf("A specified parameter was not correct: %s", d.InvalidProperty)
	case types.BaseFileFault:
		if file := d.GetFileFault().File; file != "" {
			text = fmt.Sprintf("%s: %s", text, file)
		}
	case *types.InvalidDatastore:
		text = fmt.Sprintf("Invalid datastore '%s'.", d.Name)
	}
	if text == "" {
		text = name
	}
	return &soapFault{text, detail}
}

func faultf(detail types.BaseMethodFault, format string, args ...interface{}) *soapFault {
	return &soapFault{fmt.Sprintf(format, args...), detail}
}

// localized is the fault as a task or a missing property carries it.
func (f *soapFault) localized() *types.LocalizedMethodFault {
	return &types.LocalizedMethodFault{Fault: f.detail, LocalizedMessage: f.text}
}

func notFound(ref moref) *soapFault {
	return faultf(&types.ManagedObjectNotFound{Obj: ref}, "The object '%s:%s' has already been deleted or has not been completely created",
		"vim."+ref.Type, ref.Value)
}

const envelopeStart = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
	`<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" ` +
	`xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" ` +
	`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` + "\n<soapenv:Body>\n"

const envelopeEnd = "\n</soapenv:Body>\n</soapenv:Envelope>"

func encodeAnswer(method string, value interface{}) []byte {
	var b bytes.Buffer
	b.WriteString(envelopeStart)
	fmt.Fprintf(&b, `<%sResponse xmlns="urn:vim25">`, method)
	switch v := value.(type) {
	case nil:
	case rawXML:
		b.Write(v)
	default:
		encodeElement(&b, "returnval", reflect.ValueOf(value), false)
	}
	fmt.Fprintf(&b, "</%sResponse>%s", method, envelopeEnd)
	return b.Bytes()
}

func encodeFault(f *soapFault) []byte {
	var b bytes.Buffer
	b.WriteString(envelopeStart)
	b.WriteString("<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>")
	writeText(&b, f.text)
	b.WriteString("</faultstring>")
	if f.detail != nil {
		name := faultName(f.detail)
		fmt.Fprintf(&b, `<detail><%sFault xmlns="urn:vim25" xsi:type="%s">`, name, name)
		encodeContent(&b, reflect.ValueOf(f.detail).Elem())
		fmt.Fprintf(&b, "</%sFault></detail>", name)
	}
	b.WriteString("</soapenv:Fault>" + envelopeEnd)
	return b.Bytes()
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
