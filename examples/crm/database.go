package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// database keeps the settings in one SQLite file.
type database struct {
	sql    *sql.DB
	sealer sealer
}

const (
	applicationID = 0x70627863 // marks the file as one of this program
	schemaVersion = 2          // since 2, the secrets of a row are bound to its options and pin
)

const schema = `
CREATE TABLE pbx (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	name         TEXT NOT NULL UNIQUE COLLATE NOCASE,
	driver       TEXT NOT NULL,
	url          TEXT NOT NULL,
	username     TEXT NOT NULL,
	options      TEXT NOT NULL, -- JSON
	sealed       BLOB NOT NULL, -- JSON of the secrets, encrypted
	pin          TEXT NOT NULL,
	secrets_set  INTEGER NOT NULL, -- times are Unix milliseconds; 0: never
	pin_set      INTEGER NOT NULL,
	disconnected INTEGER NOT NULL,
	rev          INTEGER NOT NULL
) STRICT;
CREATE TABLE key_check (sealed BLOB NOT NULL) STRICT;
`

const keyCheck = "key check"

// openDatabase opens the settings file, and makes it if it is not there. An
// empty path keeps the settings in memory.
func openDatabase(path string, key masterKey) (*database, error) {
	dsn := ":memory:"
	if path != "" {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it readable for others
		if err != nil {
			return nil, fmt.Errorf("the settings file cannot be opened: %w", err)
		}
		f.Close()
		dsn = "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // so that data_version reports the changes of other processes only
	d := &database{db, newSealer(key)}
	if err := d.prepare(); err != nil {
		db.Close()
		if path != "" {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return nil, err
	}
	return d, nil
}

// prepare makes the tables of a new file, and refuses one that is not ours.
func (d *database) prepare() error {
	tx, err := d.sql.Begin()
	if err != nil {
		return unread(err)
	}
	defer tx.Rollback()
	var id, version, tables int
	if err := errors.Join(
		tx.QueryRow(`PRAGMA application_id`).Scan(&id),
		tx.QueryRow(`PRAGMA user_version`).Scan(&version),
		tx.QueryRow(`SELECT count(*) FROM sqlite_schema`).Scan(&tables),
	); err != nil {
		return unread(err)
	}
	switch {
	case tables == 0:
		if _, err := tx.Exec(schema + fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion)); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO key_check VALUES (?)`, d.sealer.seal([]byte(keyCheck), keyCheck)); err != nil {
			return err
		}
		return tx.Commit()
	case id != applicationID:
		return errors.New("this is not a settings file of this program: choose another file; it was left alone")
	case version > schemaVersion:
		return fmt.Errorf("the settings file is of a newer version (%d, and this program knows %d): start the newer program; the file was left alone", version, schemaVersion)
	case version < schemaVersion:
		return fmt.Errorf("the settings file is of an older version (%d, and this program needs %d): choose another file and add the PBXs again; the file was left alone", version, schemaVersion)
	}
	var sealed []byte
	if err := tx.QueryRow(`SELECT sealed FROM key_check`).Scan(&sealed); err != nil {
		return unread(err)
	}
	_, err = d.sealer.open(sealed, keyCheck)
	return err
}

// unread says what to do about a file that cannot be read.
func unread(err error) error {
	var failure *sqlite.Error
	switch {
	case errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_NOTADB:
		return errors.New("this is not a settings file of this program: choose another file; it was left alone")
	case errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_CORRUPT,
		errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_ERROR, // a table or column is missing
		errors.Is(err, sql.ErrNoRows):
		return errors.New("the settings file is damaged: restore it from a copy, or start with an empty file; it was left alone")
	}
	return err
}

func (d *database) close() error { return d.sql.Close() }

// version changes when another process has changed the file.
func (d *database) version(ctx context.Context) (v int64, err error) {
	err = d.sql.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&v)
	return v, err
}

// secrets is what is sealed of Settings.
type secrets struct {
	Password string            `json:"password,omitempty"`
	Others   map[string]string `json:"others,omitempty"`
}

// bound is what the secrets of s belong to: all that decides where they are sent, so that
// no change of the file sends them elsewhere. It is not noticed if a whole row is replaced
// by the same row of an older copy.
// options is the text in the file.
func bound(s Settings, options string) string {
	text, _ := json.Marshal([]string{s.Driver, s.URL, s.Username, options, s.Pin})
	return string(text)
}

// all returns the settings of every row. Of a damaged one it returns what can be read,
// and no secrets: the row stays as it is, so that a person can restore it.
func (d *database) all(ctx context.Context) ([]Settings, error) {
	rows, err := d.sql.QueryContext(ctx, `SELECT id, name, driver, url, username, options, sealed, pin, secrets_set, pin_set, disconnected, rev FROM pbx ORDER BY id`)
	if err != nil {
		return nil, unread(err)
	}
	defer rows.Close()
	var all []Settings
	for rows.Next() {
		var s Settings
		var options string
		var sealed []byte
		var secretsSet, pinSet, disconnected int64
		if err := rows.Scan(&s.ID, &s.Name, &s.Driver, &s.URL, &s.Username, &options, &sealed, &s.Pin, &secretsSet, &pinSet, &disconnected, &s.Rev); err != nil {
			return nil, err
		}
		var hidden secrets
		plain, err := d.sealer.open(sealed, bound(s, options)) // the key is right: it has opened key_check
		if err != nil || json.Unmarshal(plain, &hidden) != nil || json.Unmarshal([]byte(options), &s.Options) != nil {
			s.Damaged, hidden = true, secrets{}
			if strings.TrimSpace(s.Name) == "" {
				s.Name = fmt.Sprintf("PBX %d", s.ID)
			}
		}
		s.Password, s.Secrets = pbx.NewSecret(hidden.Password), map[string]pbx.Secret{}
		for name, value := range hidden.Others {
			s.Secrets[name] = pbx.NewSecret(value)
		}
		s.SecretsSet, s.PinSet, s.Disconnected = fromMillis(secretsSet), fromMillis(pinSet), fromMillis(disconnected)
		all = append(all, s)
	}
	return all, unread(rows.Err())
}

var (
	errNameTaken = errors.New("the name is taken")
	errGone      = errors.New("this PBX was removed meanwhile")
	errChanged   = errors.New("this PBX was changed meanwhile")
	errDamaged   = errors.New("the saved settings of this PBX are damaged. Remove it, or restore the settings file from a copy")
)

// save writes s whole, or nothing. ID 0 makes a new row. It returns s as saved. If the
// row is no longer the one that s was made of, by its Rev, the error is errChanged.
func (d *database) save(ctx context.Context, s Settings) (Settings, error) {
	hidden := secrets{Password: s.Password.Reveal(), Others: map[string]string{}}
	for name, value := range s.Secrets {
		hidden.Others[name] = value.Reveal()
	}
	plain, err := json.Marshal(hidden)
	if err != nil {
		return s, err
	}
	if s.Options == nil {
		s.Options = map[string]string{}
	}
	options, err := json.Marshal(s.Options)
	if err != nil {
		return s, err
	}
	sealed := d.sealer.seal(plain, bound(s, string(options)))
	args := []any{s.Name, s.Driver, s.URL, s.Username, string(options), sealed, s.Pin, millis(s.SecretsSet), millis(s.PinSet), millis(s.Disconnected)}
	if s.ID == 0 {
		err = d.sql.QueryRowContext(ctx, `INSERT INTO pbx (name, driver, url, username, options, sealed, pin, secrets_set, pin_set, disconnected, rev)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id, rev`, args...).Scan(&s.ID, &s.Rev)
	} else {
		err = d.sql.QueryRowContext(ctx, `UPDATE pbx SET name = ?, driver = ?, url = ?, username = ?, options = ?, sealed = ?, pin = ?,
			secrets_set = ?, pin_set = ?, disconnected = ?, rev = rev + 1 WHERE id = ? AND rev = ? RETURNING rev`, append(args, s.ID, s.Rev)...).Scan(&s.Rev)
		if errors.Is(err, sql.ErrNoRows) {
			var there bool
			if err = d.sql.QueryRowContext(ctx, `SELECT count(*) FROM pbx WHERE id = ?`, s.ID).Scan(&there); err == nil {
				err = errGone
				if there {
					err = errChanged
				}
			}
			return s, err
		}
	}
	var failure *sqlite.Error
	if errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return s, errNameTaken
	}
	return s, unwritten(err)
}

// unwritten says what to do about an error of a change.
func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the settings file cannot be written: %w. Check its disk and permissions, then try again", err)
}

func (d *database) remove(ctx context.Context, id int64) error {
	_, err := d.sql.ExecContext(ctx, `DELETE FROM pbx WHERE id = ?`, id)
	return unwritten(err)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
