package dlms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/obis"
)

// imageName is the object by which the image of a meter's firmware is transferred.
var imageName = obis.Code{0, 0, 44, 0, 0, 255}

// Errors of image transfers that callers branch on.
var (
	ErrImageDisabled = errors.New("dlms: image transfer is disabled")
	ErrImageVerify   = errors.New("dlms: the meter says that the image is wrong")
)

// ImageOptions says how an image is transferred. The zero value transfers and
// verifies it.
type ImageOptions struct {
	Name     obis.Code               // of the object; zero means 0-0:44.0.0
	Resume   bool                    // go on with a transfer that was interrupted, where the meter has one of this size under way
	Activate bool                    // activate the image when it is verified
	Poll     time.Duration           // between two looks at a meter that is verifying or activating; zero means one second
	Progress func(block, blocks int) // called after each block; nil for none
}

// TransferImage brings an image to the meter, block by block, fills the gaps
// that the meter reports, and has it verified.
func (c *Client) TransferImage(ctx context.Context, id, image []byte, o *ImageOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := imageTransfer{client: c, image: image}
	if o != nil {
		t.options = *o
	}
	if !t.options.Name.Valid() {
		t.options.Name = imageName
	}
	if t.options.Poll == 0 {
		t.options.Poll = time.Second
	}
	if err := t.begin(ctx, id); err != nil {
		return err
	}
	if err := t.send(ctx); err != nil {
		return err
	}
	if err := t.carryOut(ctx, 3, cosem.ImageVerified, cosem.ImageVerifyFailed); err != nil || !t.options.Activate {
		return err
	}
	return t.carryOut(ctx, 4, cosem.ImageActivated, cosem.ImageActivationFailed)
}

// imageTransfer is one transfer under way.
type imageTransfer struct {
	client  *Client
	options ImageOptions
	image   []byte
	state   cosem.ImageTransfer
	first   int // the first block that is missing
}

func (t *imageTransfer) method(index int8) cosem.Method {
	return cosem.Method{Class: cosem.ClassImageTransfer, Name: t.options.Name, Index: index}
}

func (t *imageTransfer) blocks() int {
	return (len(t.image) + int(t.state.BlockSize) - 1) / int(t.state.BlockSize)
}

// begin initiates a transfer, or finds where one can go on.
func (t *imageTransfer) begin(ctx context.Context, id []byte) error {
	if err := t.client.view(ctx, t.options.Name, &t.state); err != nil && t.state.BlockSize == 0 {
		return err
	}
	if !t.state.Enabled {
		return ErrImageDisabled
	}
	if t.state.BlockSize == 0 {
		return fmt.Errorf("dlms: image blocks of 0 octets: %w", ErrProtocol)
	}
	if t.options.Resume && t.state.Status == cosem.ImageInitiated && t.state.Transferred.Len == t.blocks() {
		t.first = int(t.state.FirstNot)
		return nil
	}
	parameters := cosem.Structure(cosem.OctetString(id), cosem.Uint32(uint32(len(t.image))))
	_, err := t.client.action(ctx, t.method(1), &parameters)
	return err
}

// send transfers the blocks, and those again that the meter misses.
func (t *imageTransfer) send(ctx context.Context) error {
	for round := 0; ; round++ {
		for n := t.first; n < t.blocks(); n++ {
			if round > 0 && t.state.Transferred.Has(n) {
				continue
			}
			if err := t.block(ctx, n); err != nil {
				return fmt.Errorf("dlms: image block %d: %w", n, err)
			}
		}
		if err := t.client.view(ctx, t.options.Name, &t.state); err != nil {
			return err
		}
		t.first = int(t.state.FirstNot)
		if t.first >= t.blocks() {
			return nil
		}
		if round == t.client.cfg.Retries {
			return fmt.Errorf("dlms: the meter does not keep image block %d: %w", t.first, ErrProtocol)
		}
	}
}

func (t *imageTransfer) block(ctx context.Context, n int) error {
	size := int(t.state.BlockSize)
	part := t.image[n*size : min(len(t.image), (n+1)*size)]
	parameters := cosem.Structure(cosem.Uint32(uint32(n)), cosem.OctetString(part))
	if _, err := t.client.action(ctx, t.method(2), &parameters); err != nil {
		return err
	}
	if t.options.Progress != nil {
		t.options.Progress(n+1, t.blocks())
	}
	return nil
}

// carryOut invokes image_verify or image_activate, and waits for what becomes of it.
func (t *imageTransfer) carryOut(ctx context.Context, method int8, done, failed uint8) error {
	parameters := cosem.Int8(0)
	_, err := t.client.action(ctx, t.method(method), &parameters)
	if err != nil && !errors.Is(err, cosem.ActionResult(cosem.TemporaryFailure)) {
		return err
	}
	for err != nil { // temporary-failure: the meter is at it
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.options.Poll):
		}
		if e := t.client.view(ctx, t.options.Name, &t.state); e != nil {
			return e
		}
		if t.state.Status == done || t.state.Status == failed {
			break
		}
	}
	if err == nil {
		if e := t.client.view(ctx, t.options.Name, &t.state); e != nil {
			return e
		}
	}
	if t.state.Status == failed {
		return ErrImageVerify
	}
	return nil
}
