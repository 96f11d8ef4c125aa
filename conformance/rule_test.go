package conformance

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

func TestEveryRuleHasAnIDASentenceAndAReason(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z]+-[0-9]{2}$`)
	seen := map[string]bool{}
	for _, r := range Rules() {
		if !form.MatchString(r.ID) || seen[r.ID] {
			t.Errorf("ID %q is ill-formed or there twice", r.ID)
		}
		seen[r.ID] = true
		for _, text := range []string{r.Says, r.Why} {
			if !strings.HasSuffix(text, ".") || !unicode.IsUpper(rune(text[0])) {
				t.Errorf("%s: %q is no sentence", r.ID, text)
			}
		}
		if r.check == nil {
			t.Errorf("%s checks nothing", r.ID)
		}
	}
}

func TestTheRulesOfAGroupStandTogetherAndInOrder(t *testing.T) {
	last := map[string]string{}
	group := ""
	for _, r := range Rules() {
		if r.Group() != group && last[r.Group()] != "" {
			t.Errorf("%s stands apart from the rest of its group", r.ID)
		}
		group = r.Group()
		if r.ID <= last[group] {
			t.Errorf("%s stands after %s", r.ID, last[group])
		}
		last[group] = r.ID
	}
}
