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
		if retired[r.ID] != "" {
			t.Errorf("%s is retired", r.ID)
		}
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

func TestARetiredRuleHasASuccessor(t *testing.T) {
	for id, successor := range retired {
		ruleOf(t, successor)
		if id == successor {
			t.Errorf("%s succeeds itself", id)
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
