package session

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/openusm/meter/ansic12"
	"github.com/openusm/meter/ansic12/psem"
)

// Run runs a procedure with its parameters and returns what it answered. The
// program must have been granted what the procedure needs; that a procedure failed is an
// [ansic12.ProcedureResult].
func (c *Client) Run(ctx context.Context, number uint16, parameters []byte) ([]byte, error) {
	if right := ansic12.ProcedureRight(number); c.cfg.Grant&right != right {
		return nil, fmt.Errorf("session: procedure %d needs the right of %v: %w", number, right, ErrNotGranted)
	}
	d, err := c.Device(ctx)
	if err != nil {
		return nil, err
	}
	c.sequence++
	order := binary.ByteOrder(binary.LittleEndian)
	if d.Config.BigEndian {
		order = binary.BigEndian
	}
	initiate := make([]byte, 3, 3+len(parameters))
	order.PutUint16(initiate, number&0x0FFF)
	initiate[2] = c.sequence
	if _, err := c.do(ctx, psem.Write{Table: 7, Data: append(initiate, parameters...)}); err != nil {
		return nil, err
	}
	answer, err := c.ReadTable(ctx, 8)
	if err != nil {
		return nil, err
	}
	if len(answer) < 4 || order.Uint16(answer)&0x0FFF != number&0x0FFF || answer[2] != c.sequence {
		return nil, fmt.Errorf("session: procedure %d: % x: %w", number, answer, ErrOtherReply)
	}
	if result := ansic12.ProcedureResult(answer[3]); result != ansic12.Completed && result != ansic12.Accepted {
		return nil, fmt.Errorf("session: procedure %d (%s): %w", number, ansic12.ProcedureName(number), result)
	}
	return answer[4:], nil
}

// SetClock sets the meter's clock to the wall clock of t. It needs [ansic12.RightClock].
func (c *Client) SetClock(ctx context.Context, t time.Time) error {
	d, err := c.Device(ctx)
	if err != nil {
		return err
	}
	const setTime, setDate, setQualifier = 1, 2, 4
	parameters := d.Config.AppendTime([]byte{setTime | setDate | setQualifier}, t, true)
	_, err = c.Run(ctx, ansic12.ProcedureSetClock, append(parameters, byte(t.Weekday())))
	return err
}

// ResetDemand resets the demands, which begins a new billing period. It needs [ansic12.RightReset].
func (c *Client) ResetDemand(ctx context.Context) error {
	const demandReset = 1
	_, err := c.Run(ctx, ansic12.ProcedureRemoteReset, []byte{demandReset})
	return err
}
