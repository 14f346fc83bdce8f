package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/openusm/meter"
	"github.com/openusm/meter/driver"
	"github.com/openusm/meter/gateway/coap"
	"github.com/openusm/meter/gateway/dlms"
	"github.com/openusm/meter/gateway/ied"
	"github.com/openusm/meter/site"
)

// wanted is what all faces are told.
type wanted struct {
	listen    string // as the user wrote it
	address   string
	tls       *tls.Config
	cfg       *meter.Config
	state     string // a file for this kind of face at this address; "" for none
	ready     func(net.Addr)
	warn      func(string)
	logger    *slog.Logger
	source    site.Source
	commander site.Commander
}

// faces returns the names of the faces.
func faces() []string { return []string{"dlms", "iec61850", "iec104", "coap"} }

// face makes the i-th face.
func (a *app) face(e *exposed, i int, cfg *meter.Config, source site.Source, commander site.Commander) (site.Face, error) {
	kind := e.as[i]
	w := &wanted{listen: e.listen[i], cfg: cfg, source: source, commander: commander}
	if a.verbose {
		w.logger = slog.New(slog.NewTextHandler(a.stderr, nil))
	}
	w.warn = func(what string) { fmt.Fprintf(a.stderr, "warning: %s: not shown in full: %s\n", kind, what) }
	schemes := []string{"tcp"}
	if kind == "coap" {
		schemes = []string{"coap", "coaps"}
		if e.files != (tlsFiles{}) && len(e.as) == 1 {
			return nil, usagef("--as coap takes no --tls files: listen on coaps:// with [coap:IDENTITY] keys instead")
		}
	}
	scheme, address, err := a.listenAt(w.listen, schemes...)
	if err != nil {
		return nil, err
	}
	if kind == "coap" && isOpen(address) { // an answer must come from the address that was asked
		return nil, usagef("--listen %s names no single address of this machine", w.listen)
	}
	w.address = address
	w.ready = func(at net.Addr) { fmt.Fprintf(a.stderr, "listening on %s://%s\n", scheme, at) }
	if w.state, err = a.faceState(kind, address); err != nil {
		return nil, err
	}
	if w.tls, err = e.files.server(); err != nil {
		return nil, err
	}
	switch kind {
	case "dlms":
		access, err := driver.DLMSAccess(faceConfig(cfg))
		if err != nil {
			return nil, err
		}
		return dlms.New(&dlms.Config{Listen: w.address, TLS: w.tls, Access: access, Counters: cfg.Counters, State: w.state, Ready: w.ready, Warn: w.warn, Logger: w.logger}, source, commander)
	case "iec61850":
		return ied.New(&ied.Config{Listen: w.address, TLS: w.tls, State: w.state, Ready: w.ready, Warn: w.warn, Logger: w.logger}, source, commander)
	case "iec104":
		return a.face104(w)
	case "coap":
		own := &coap.Config{Listen: w.listen, Keys: coapKeys(cfg.Keys), MaxAge: max(time.Minute, 2*e.interval), Ready: w.ready, Warn: w.warn, Logger: w.logger}
		if scheme == "coaps" && len(own.Keys) == 0 {
			return nil, fmt.Errorf("%w: coaps needs --key-file with a section [%sIDENTITY] and \"key = HEX\"", meter.ErrMissingKey, coapSection)
		}
		return coap.New(own, source, commander)
	}
	return nil, usagef("no face %q: one of %s", kind, strings.Join(faces(), ", "))
}

// faceState returns the file in which a face keeps what its clients know of it, none for a
// port that is another one each time.
func (a *app) faceState(kind, address string) (string, error) {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "0" {
		return "", nil
	}
	folder, err := a.stateFolder()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "face-"+kind+"-"+strings.NewReplacer(":", "-", "[", "", "]", "").Replace(address)+".json"), nil
}

// faceSection is the section of a key file with the keys or the password of those who
// read by DLMS, which are never those of a meter.
const faceSection = "face:dlms"

// faceConfig says who may associate with a face: whoever knows what is in its section, as client 1.
func faceConfig(cfg *meter.Config) *meter.Config {
	set := cfg.Keys.ByMeter[faceSection]
	set.SystemTitle = cfg.Keys.SystemTitle
	own := &meter.Config{Keys: set, Counters: cfg.Counters, DLMS: meter.DLMSConfig{Suite: cfg.DLMS.Suite}}
	switch {
	case len(set.Encryption) > 0:
		own.DLMS.Auth = "hls-gmac"
	case len(set.Password) > 0:
		own.DLMS.Auth = "low"
	}
	return own
}
