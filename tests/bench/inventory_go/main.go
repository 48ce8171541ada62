package main

// Two of the inventory bench's parts: `serve N CERT KEY` is an ESXi host with N VMs (Debian's govmomi simulator behind TLS) and
// prints its address; `list URL ROUNDS PATH,PATH,...` reads them as a govmomi client does, and prints milliseconds a round.

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(count int, certFile, keyFile string) {
	model := simulator.ESX()
	model.Machine = count
	check(model.Create())
	for i, object := range simulator.Map.All("VirtualMachine") {
		vm := object.(*simulator.VirtualMachine)
		vm.Guest.IpAddress = fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	check(err)
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	model.Service.Listen = &url.URL{Scheme: "https", Host: "127.0.0.1:0", User: url.UserPassword("root", "secret")}
	server := model.Service.NewServer()
	fmt.Println(server.URL.Host)
	select {}
}

func list(address string, rounds int, paths []string) {
	ctx := context.Background()
	target, err := url.Parse(address)
	check(err)
	target.User = url.UserPassword("root", "secret")
	// The bench's own server on the loopback: there is nobody to be taken for.
	client, err := govmomi.NewClient(ctx, target, true)
	check(err)
	for i := 0; i < rounds; i++ {
		start := time.Now()
		views, err := view.NewManager(client.Client).CreateContainerView(ctx, client.ServiceContent.RootFolder, []string{"VirtualMachine", "Network"}, true)
		check(err)
		filter := types.PropertyFilterSpec{
			ObjectSet: []types.ObjectSpec{{Obj: views.Reference(), Skip: types.NewBool(true),
				SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: "view"}, Type: "ContainerView", Path: "view"}}}},
			PropSet: []types.PropertySpec{{Type: "VirtualMachine", PathSet: paths}, {Type: "Network", PathSet: []string{"name"}}},
		}
		answer, err := property.DefaultCollector(client.Client).RetrieveProperties(ctx, types.RetrieveProperties{SpecSet: []types.PropertyFilterSpec{filter}})
		check(err)
		var content []types.ObjectContent
		for _, object := range answer.Returnval {
			if object.Obj.Type == "VirtualMachine" {
				content = append(content, object)
			}
		}
		var vms []mo.VirtualMachine
		check(mo.LoadObjectContent(content, &vms))
		check(views.Destroy(ctx))
		fmt.Printf("%d %.1f\n", len(vms), float64(time.Since(start).Microseconds())/1000)
	}
	check(client.Logout(ctx))
}

func main() {
	switch {
	case len(os.Args) == 5 && os.Args[1] == "serve":
		count, err := strconv.Atoi(os.Args[2])
		check(err)
		serve(count, os.Args[3], os.Args[4])
	case len(os.Args) == 5 && os.Args[1] == "list":
		rounds, err := strconv.Atoi(os.Args[3])
		check(err)
		list(os.Args[2], rounds, strings.Split(os.Args[4], ","))
	default:
		fmt.Fprintln(os.Stderr, "usage: serve N CERT KEY | list URL ROUNDS PATH,PATH,...")
		os.Exit(2)
	}
}
