package lockout

import (
	"math"
	"time"
)

// instant is a time in milliseconds since 1970; 0 is never. Times that processes
// share have no zone, no monotonic part and one size.
type instant int64

const forever = instant(math.MaxInt64)

func at(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixMilli())
}

func (i instant) time() time.Time {
	if i == 0 || i == forever {
		return time.Time{}
	}
	return time.UnixMilli(int64(i))
}

// add rounds d up to milliseconds and stops at forever.
func (i instant) add(d time.Duration) instant {
	ms := instant(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	if d == math.MaxInt64 || i > forever-ms {
		return forever
	}
	return i + ms
}

func (i instant) sub(j instant) time.Duration { return time.Duration(i-j) * time.Millisecond }
