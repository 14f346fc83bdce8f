package main

import (
	"strings"

	"github.com/openusm/meter/gateway/coap"
	"github.com/openusm/meter/keys"
)

// coapSection is how the sections of a key file begin that name a pre-shared key:
// "[coap:IDENTITY]" with "key = HEX".
const coapSection = "coap:"

// coapKeys returns the pre-shared keys of a key file by their identities.
func coapKeys(set keys.Set) map[string]coap.Key {
	psk := map[string]coap.Key{}
	for section, k := range set.ByMeter {
		if identity, ok := strings.CutPrefix(section, coapSection); ok && len(k.Key) > 0 {
			psk[identity] = coap.Key(k.Key)
		}
	}
	return psk
}
