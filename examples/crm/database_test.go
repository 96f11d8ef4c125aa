package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
)

const planted = "planted-Horse-Battery-9"

func example() Settings {
	return Settings{
		Name: "Northwind", Driver: "never-seen", URL: "https://pbx.example", Username: "crm", Password: secretOf(planted),
		Options: map[string]string{"realm": "north"}, Secrets: map[string]pbx.Secret{"signing": secretOf(planted + "-signing")}, Pin: "sha256/pin",
		SecretsSet: time.UnixMilli(1000), PinSet: time.UnixMilli(2000), Disconnected: time.UnixMilli(3000),
	}
}

func TestSettingsSurviveARestartAndAreSealed(t *testing.T) {
	file, key := filepath.Join(t.TempDir(), "settings.db"), newKey()
	db, err := openDatabase(file, key)
	if err != nil {
		t.Fatal(err)
	}
	want, err := db.save(t.Context(), example())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte(planted)) {
		t.Errorf("the file shows a password (%v)", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v", info.Mode())
	}
	if db, err = openDatabase(file, key); err != nil {
		t.Fatal(err)
	}
	defer db.close()
	got, err := db.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Settings{want}, got, cmp.Comparer(pbx.Secret.Equal)); diff != "" {
		t.Error(diff)
	}
}

func TestASettingsFileThatIsNotOursIsLeftAlone(t *testing.T) {
	key := newKey()
	for _, row := range []struct {
		name string
		make func(t *testing.T, file string)
		key  masterKey
		says string
	}{
		{"another key", func(t *testing.T, file string) { fillFile(t, file, key, "") }, newKey(), "sealed with another key: start with the key that wrote it, or with an empty file"},
		{"a newer version", func(t *testing.T, file string) { fillFile(t, file, key, "PRAGMA user_version = 3") }, key, "is of a newer version (3, and this program knows 2): start the newer program"},
		{"an older version", func(t *testing.T, file string) { fillFile(t, file, key, "PRAGMA user_version = 1") }, key, "is of an older version (1, and this program needs 2): choose another file and add the PBXs again; the file was left alone"},
		{"another program's database", func(t *testing.T, file string) { fillFile(t, file, key, "PRAGMA application_id = 7") }, key, "not a settings file of this program"},
		{"no key check", func(t *testing.T, file string) { fillFile(t, file, key, "DELETE FROM key_check") }, key, "the settings file is damaged: restore it from a copy, or start with an empty file; it was left alone"},
		{"no table of key checks", func(t *testing.T, file string) { fillFile(t, file, key, "DROP TABLE key_check") }, key, "the settings file is damaged: restore it from a copy, or start with an empty file; it was left alone"},
		{"damaged pages", func(t *testing.T, file string) { fillFile(t, file, key, ""); damagePage(t, file, "key_check") }, key, "the settings file is damaged: restore it from a copy, or start with an empty file; it was left alone"},
		{"a text", func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(strings.Repeat("Dear diary. ", 200)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, key, "not a settings file of this program"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.db")
			row.make(t, file)
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = openDatabase(file, row.key)
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v", err)
			}
			if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

// damagePage overwrites the first page of a table.
func damagePage(t *testing.T, file, table string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page, size int64
	if err := errors.Join(db.QueryRow(`SELECT rootpage FROM sqlite_schema WHERE name = ?`, table).Scan(&page), db.QueryRow(`PRAGMA page_size`).Scan(&size)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
}

// If a table cannot be read, nobody knows which rows are damaged.
func TestASettingsFileWithADamagedTableSaysWhatToDo(t *testing.T) {
	for name, damage := range map[string]func(file string, key masterKey){
		"pages": func(file string, key masterKey) { fillFile(t, file, key, ""); damagePage(t, file, "pbx") },
		"table": func(file string, key masterKey) { fillFile(t, file, key, "DROP TABLE pbx") },
	} {
		t.Run(name, func(t *testing.T) {
			file, key := filepath.Join(t.TempDir(), "settings.db"), newKey()
			damage(file, key)
			var errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			status := run(ctx, []string{"-addr", "127.0.0.1:0", "-simulate=false", "-db", file}, func(name string) string {
				return map[string]string{keyVariable: base64.StdEncoding.EncodeToString(key[:])}[name]
			}, io.Discard, &errs)
			if status != 1 || !strings.Contains(errs.String(), "the settings file is damaged: restore it from a copy, or start with an empty file") || strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("status %d: %s", status, errs.String())
			}
		})
	}
}

// fillFile makes a settings file with one PBX, and then runs a statement on it.
func fillFile(t *testing.T, file string, key masterKey, statement string) {
	t.Helper()
	db, err := openDatabase(file, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.save(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.sql.Exec(statement); err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
}

// A password that somebody moves to the row of another address does not open.
func TestASealedPasswordBelongsToItsAddress(t *testing.T) {
	db, err := openDatabase("", newKey())
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	if _, err := db.save(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.sql.Exec(`UPDATE pbx SET url = 'https://thief.example'`); err != nil {
		t.Fatal(err)
	}
	all, err := db.all(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d rows, %v", len(all), err)
	}
	if s := all[0]; !s.Damaged || !s.Password.IsZero() || len(s.Secrets) != 0 {
		t.Errorf("beside another address the row is damaged: %t, and a password opened: %t", s.Damaged, !s.Password.IsZero())
	}
}

func TestTwoRowsCannotHaveOneName(t *testing.T) {
	db, err := openDatabase("", newKey())
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	if _, err := db.save(t.Context(), example()); err != nil {
		t.Fatal(err)
	}
	second := example()
	second.Name = "NORTHWIND"
	if _, err := db.save(t.Context(), second); err != errNameTaken {
		t.Errorf("the error is %v", err)
	}
	if all, _ := db.all(t.Context()); len(all) != 1 {
		t.Errorf("%d rows", len(all))
	}
}

func TestWrongUseIsOneClearLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	foreign := filepath.Join(t.TempDir(), "other.db")
	other, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(`CREATE TABLE x (y)`); err != nil {
		t.Fatal(err)
	}
	other.Close()
	good := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, row := range []struct {
		args   []string
		key    string
		status int
		says   string
	}{
		{[]string{"yeastar"}, "", 2, "all settings are flags"},
		{[]string{"-addr", "8080"}, "", 2, "write it as 127.0.0.1:8080"},
		{[]string{"-addr", "0.0.0.0:8080"}, "", 2, "anyone could change the settings; if something in front of it"},
		{[]string{"-addr", ":8080"}, "", 2, "anyone could change the settings"},
		{[]string{"-db", "x.db"}, "", 2, "set CRM_KEY to 32 random bytes"},
		{[]string{"-db", "x.db"}, "short", 2, "CRM_KEY is not a key"},
		{[]string{"-addr", taken.Addr().String(), "-simulate=false"}, "", 1, "another program listens on " + taken.Addr().String()},
		{[]string{"-addr", "127.0.0.1:0", "-simulate=false", "-db", foreign}, good, 1, "not a settings file of this program"},
		{[]string{"-addr", "127.0.0.1:0", "-simulate=false", "-db", "/nowhere/x.db"}, good, 1, "cannot be opened"},
	} {
		var errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		status := run(ctx, row.args, func(name string) string { return map[string]string{keyVariable: row.key}[name] }, io.Discard, &errs)
		cancel()
		if status != row.status || !strings.Contains(errs.String(), row.says) || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v: status %d: %s", row.args, status, errs.String())
		}
	}
}
