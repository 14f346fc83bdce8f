package dlms

import (
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/hdlc"
	"github.com/openusm/meter/cosem/wrapper"
)

// Push returns the frame by which a meter pushes a notification: an UI frame of
// HDLC or a frame of the wrapper, from cfg.Server to cfg.Client. With
// cfg.Security it is ciphered, and carries the system title of the meter.
func Push(cfg *Config, n apdu.DataNotification) ([]byte, error) {
	d := cfg.withDefaults()
	b, err := n.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	c, err := newChannel(d.Security)
	if err != nil {
		return nil, err
	}
	if c.ciphers() {
		style := d.Security.Style
		if style == StyleAuto || style == StyleService {
			style = StyleGeneral
		}
		how := protection{control: c.control(), style: style, signed: d.Security.Sign, key: d.Security.KeyInfo}
		if b, err = c.protect(b, how); err != nil {
			return nil, err
		}
	}
	if d.Link == LinkWrapper {
		return wrapper.Frame{Source: d.Server, Destination: d.Client, APDU: b}.AppendBinary(nil)
	}
	return hdlc.Frame{
		Source: hdlc.Server(d.Server, d.Physical), Destination: hdlc.Client(uint8(d.Client)),
		Control: hdlc.UI | hdlc.PollFinal, Info: append([]byte{0xE6, 0xE7, 0x00}, b...),
	}.AppendBinary(nil)
}
