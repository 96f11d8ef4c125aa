package pgstore

import (
	"os"
	"strings"
	"testing"
)

func TestTheReadmeShowsTheStatementsOfCreate(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), tableSQL) {
		t.Error("README.md shows other statements than table.sql")
	}
}
