package wire

// SharedTransports is how many there are.
func SharedTransports() int {
	transports.Lock()
	defer transports.Unlock()
	return len(transports.byProfile)
}
