package driver

import (
	"fmt"

	"github.com/openusm/meter/ansic12/epsem"
	"github.com/openusm/meter/ansic12/psem"
)

// epsemExplainer explains messages, and the services in those that are ciphered
// where their key is there.
type epsemExplainer struct {
	cfg  *Config
	note func(Note)
}

func (e *epsemExplainer) End(b []byte, offset int) error {
	_, err := e.Explain(b, offset)
	return err
}

func (e *epsemExplainer) Explain(b []byte, offset int) (int, error) {
	m, n, err := epsem.Parse(b)
	if err == nil {
		b = b[:n]
	}
	if err := epsem.Explain(b, noter(e.note, b, offset, 0)); err != nil {
		return 0, err
	}
	id, _ := m.KeyID()
	key := e.cfg.Keys.For(fmt.Sprintf("c1222-%d", id)).Key
	if m.Security() != epsem.Ciphered || len(key) == 0 {
		return n, nil
	}
	opened, err := m.Verify(key)
	if err != nil {
		return 0, c12Error(err)
	}
	// The octets of the services stand where the ciphered ones do.
	at := offset + n - len(m.MAC) - len(m.Body)
	for _, service := range opened.Services {
		at += len(epsem.AppendService(nil, service)) - len(service)
		note := noter(e.note, service, at, 3)
		switch {
		case len(service) == 0:
		case service[0] < byte(psem.ServiceIdentify):
			note(0, len(service), 0, "answer", psem.Status(service[0]).String())
		default:
			if err := psem.ExplainRequest(service, note); err != nil {
				return 0, err
			}
		}
		at += len(service)
	}
	return n, nil
}
