package wire

import "time"

// SharedSenders is how many there are.
func SharedSenders() int {
	senders.Lock()
	defer senders.Unlock()
	return len(senders.byProfile)
}

// IdleTransports is how many may hold idle connections, and how many of those.
func IdleTransports() (transports, connections int) {
	idle.Lock()
	defer idle.Unlock()
	return idle.order.Len(), idle.sum
}

const (
	Timeout       = timeout
	MaxRetryAfter = maxRetryAfter
	MaxIdle       = maxIdle
)

// HeaderTimeout is how long a request of the application waits for its response,
// whatever its own deadline is.
func HeaderTimeout(c *Client) time.Duration { return c.sender.kept.use().ResponseHeaderTimeout }
