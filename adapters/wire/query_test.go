package wire_test

import (
	"net/url"
	"testing"

	"github.com/pbxauth/pbx/adapters/wire"
)

func TestAParameterIsSetAndTheOthersAreLeftAlone(t *testing.T) {
	tests := []struct{ query, name, value, want string }{
		{"", "token", "x", "token=x"},
		{"b=2&a=1", "token", "x", "b=2&a=1&token=x"},
		{"name=A%20B&to=%2B49+30", "token", "x", "name=A%20B&to=%2B49+30&token=x"},
		{"flag&empty=&&%zz=1;2", "token", "x", "flag&empty=&%zz=1;2&token=x"},
		{"token=old&a=1&%74oken=older&token", "token", "x", "a=1&token=x"},
		{"Token=a&tokens=b&q=token=c", "token", "x", "Token=a&tokens=b&q=token=c&token=x"},
		{"a=1", "access token", "a&b=c#+", "a=1&access+token=a%26b%3Dc%23%2B"},
	}
	for _, tt := range tests {
		u := &url.URL{RawQuery: tt.query}
		wire.SetQuery(u, tt.name, tt.value)
		if u.RawQuery != tt.want {
			t.Errorf("%q with %s: %q, want %q", tt.query, tt.name, u.RawQuery, tt.want)
		}
		if got := u.Query()[tt.name]; len(got) != 1 || got[0] != tt.value {
			t.Errorf("%q: a server would read %q, want %q", u.RawQuery, got, tt.value)
		}
	}
}
