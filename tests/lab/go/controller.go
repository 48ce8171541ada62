package main

// The controller under test: started, signed in, and made to know the lab's hosts and types.

import (
	"errors"
	"fmt"
	"net/http"
)

func (l *lab) startController() error { return errors.New("not yet: use --no-controller") }

func (l *lab) controllerAction(w http.ResponseWriter, r *http.Request) {
	http.Error(w, fmt.Sprint("no controller"), http.StatusNotFound)
}
