package lockout

import "time"

// care is how the tokens of one URL are used after one was refused, where nobody says
// whether that counts as a wrong login. A PBX that has restarted has lost every token
// issued before that moment, and no later one. So the tokens that it may have lost are
// used one at a time, until it is clear what has happened:
//
//   - It accepts a token. Then it has lost neither that one nor any later one. If the
//     token is no newer than the one that was refused, it has lost nothing.
//   - It refuses another one. Then those that are left are suspect.
//   - The PBX has forgotten the wrong login, or a day has passed.
//
// A token that the PBX issued after the refusal shows nothing about those before.
type care struct {
	doubted instant // tokens issued before it may be lost; 0: none
	oldest  instant // when the oldest token that was refused had been issued
	since   instant // when the newest refusal was read
	until   instant
	own     bool // this process has seen one of the refusals
}

// before returns a time: tokens issued before it may be lost. 0: none may.
func (c *care) before(now instant) instant {
	if now > c.until {
		return 0
	}
	return c.doubted
}

// refused notes the refusal of a token. If the token was one of those that may be lost,
// it is the second that was refused. The care then ends, all of them are suspect, and
// refused returns the time before which they were issued.
func (c *care) refused(issued, read instant, memory time.Duration) (suspect instant) {
	before := c.before(read)
	if issued < before {
		*c = care{}
		return min(before, read) // another process may tell of an earlier one
	}
	if before == 0 {
		c.oldest = issued
	}
	c.doubted, c.since = read, read
	c.until = read.add(min(memory, assumedMemory)).add(granularity)
	return 0
}

// readSooner notes that another process has read the refusal of the same token sooner.
func (c *care) readSooner(known, read instant) {
	if read < known && c.since == known {
		c.since, c.doubted = read, min(c.doubted, read)
	}
}

// clearedUp follows the news that a process knew of all refusals that had been told, and
// took the one that was read at that time for the first: the others said nothing. One
// that this process has seen just now may have been told later.
func (c *care) clearedUp(read instant) {
	if !c.own || read > c.since.add(toldSoon) {
		*c = care{}
	}
}

func (c *care) shift(by instant) { shift(by, &c.doubted, &c.oldest, &c.since, &c.until) }

// accepted notes that a token was accepted. A request that was sent before the refusal
// was read may have been judged before the PBX restarted.
func (c *care) accepted(issued, sent instant) {
	switch {
	case issued == 0 || sent <= c.since:
	case issued <= c.oldest:
		*c = care{}
	default:
		c.doubted = min(c.doubted, issued)
	}
}
