package wire

// SharedSenders is how many there are.
func SharedSenders() int {
	senders.Lock()
	defer senders.Unlock()
	return len(senders.byProfile)
}
