package dlms

import (
	"crypto/sha256"
	"sync"
)

// challenges remembers what was used as a challenge, by us and by our peers, so
// that no answer to one is ever given twice: a peer that does not know the
// secret could have one of our associations answer what it was asked by another.
type challenges struct {
	mu   sync.Mutex
	seen map[[16]byte]struct{}
	ring [][16]byte // in the order in which they came
	next int
}

// maxChallenges bounds what is remembered: the oldest is forgotten first.
const maxChallenges = 8192

// clientChallenges are those of the clients of this process. Each server has its
// own: a client and a server may well talk to each other.
var clientChallenges challenges

// fresh reports whether a challenge was not used before, and remembers it.
func (c *challenges) fresh(challenge []byte) bool {
	sum := sha256.Sum256(challenge)
	id := [16]byte(sum[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, used := c.seen[id]; used {
		return false
	}
	if c.seen == nil {
		c.seen = map[[16]byte]struct{}{}
	}
	if len(c.ring) < maxChallenges {
		c.ring = append(c.ring, id)
	} else {
		delete(c.seen, c.ring[c.next])
		c.ring[c.next] = id
		c.next = (c.next + 1) % maxChallenges
	}
	c.seen[id] = struct{}{}
	return true
}
