package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// ReadJSON reads the fields of a JSON object that v, a pointer to a struct, has.
// A field of another type stays empty, so that one odd field does not cost the
// others. It reports whether body is an object. Firmware writes numbers as strings
// and the reverse: use [Text] and [Number] for fields.
func ReadJSON(body []byte, v any) bool {
	body = bytes.TrimSpace(trim(body))
	if len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return false
	}
	_ = json.Unmarshal(body, v) // what is of another type stays empty
	return true
}

// Text is a JSON string, or a number as it is written. Anything else is empty.
type Text string

// UnmarshalJSON implements [json.Unmarshaler]. It accepts everything.
func (t *Text) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	*t = ""
	switch {
	case len(data) == 0:
	case data[0] == '"':
		var s string
		if err := json.Unmarshal(data, &s); err == nil {
			*t = Text(s)
		}
	case data[0] == '-' || '0' <= data[0] && data[0] <= '9':
		*t = Text(data)
	}
	return nil
}

// Number is a whole JSON number, or one in a string. Known is false for anything
// else.
type Number struct {
	Value int64
	Known bool
}

// UnmarshalJSON implements [json.Unmarshaler]. It accepts everything.
func (n *Number) UnmarshalJSON(data []byte) error {
	var t Text
	_ = t.UnmarshalJSON(data)
	*n = t.Number()
	return nil
}

// Number reads a whole number in t, as in 200, 200.0 and 2e2.
func (t Text) Number() Number {
	if n, err := strconv.ParseInt(string(t), 10, 64); err == nil {
		return Number{n, true}
	}
	if f, err := strconv.ParseFloat(string(t), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return Number{int64(f), true}
	}
	return Number{}
}

// Int returns the number if it is known and has 32 bits, as every vendor's code
// has.
func (n Number) Int() (value int, ok bool) {
	if !n.Known || n.Value != int64(int32(n.Value)) {
		return 0, false
	}
	return int(n.Value), true
}
