package runtelsim

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A user is the body of a login. Names, order and kinds are those of the
// vendor's sample, its oddities included: a time as a float, an amount in a
// string, nulls.
type user struct {
	Version         version  `json:"version"`
	Exp             string   `json:"exp"`
	UserID          int      `json:"user_id"`
	UserName        string   `json:"user_name"`
	UserLogin       string   `json:"user_login"`
	DomainID        int      `json:"domain_id"`
	RoleID          int      `json:"role_id"`
	RoleName        string   `json:"role_name"`
	RoleType        int      `json:"role_type"`
	RolePerms       struct{} `json:"role_perms"`
	RoleVisible     struct{} `json:"role_visible"`
	RoleFilters     struct{} `json:"role_filters"`
	AuthType        string   `json:"auth_type"`
	DomainName      string   `json:"domain_name"`
	DomainTestUntil *string  `json:"domain_test_until"`
	DomainMode      int      `json:"domain_mode"`
	Billing         billing  `json:"domain_billing_options"`
	TZ              string   `json:"tz"`
	Locale          string   `json:"locale"`
	Token           string   `json:"token"`
}

type version struct {
	Software   string  `json:"software"`
	LastUpdate float64 `json:"last_update"`
}

type billing struct {
	Balance       string `json:"balance"`
	BlockInbound  bool   `json:"block_inbound"`
	BlockOutbound bool   `json:"block_outbound"`
	BlockFace     bool   `json:"block_face"`
}

func (d dialect) user(t pbxsim.Token) user {
	zone, tz := d.ExpZone, d.TZ
	if zone == nil {
		zone = time.UTC
	}
	if tz == "" {
		tz = "Europe/Prague"
	}
	_, domain, _ := strings.Cut(t.User, "@")
	return user{
		Version:    version{Software: "2.9.0", LastUpdate: 1631889200.532154},
		Exp:        isoformat(t.Expires.In(zone)),
		UserID:     73,
		UserName:   "Мария",
		UserLogin:  t.User,
		DomainID:   19,
		RoleID:     2,
		RoleName:   "PBX administrator",
		RoleType:   1,
		AuthType:   "http",
		DomainName: domain,
		DomainMode: 2,
		Billing:    billing{Balance: "1000.0"},
		TZ:         tz,
		Locale:     "en_US",
		Token:      t.Value,
	}
}

// fields returns u as its JSON reads.
func fields(u user) map[string]any {
	var m map[string]any
	text, err := json.Marshal(u)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		panic("runtelsim: " + err.Error())
	}
	return m
}

// isoformat writes t as Python writes a time without a zone: in microseconds,
// and without the fraction when that is zero.
func isoformat(t time.Time) string {
	if t.Nanosecond()/1000 == 0 {
		return t.Format("2006-01-02T15:04:05")
	}
	return t.Format("2006-01-02T15:04:05.000000")
}

// domainUsers are what a list of the object DomainUser brings. The vendor says
// that every object has the action "list", and shows no response to it: that its
// body is a list of objects is an assumption.
var domainUsers = []domainUser{
	{ID: 101, Login: "100@office.example", Name: "Reception", Status: 1, DomainID: 19},
	{ID: 102, Login: "101@office.example", Name: "Sales", Status: 1, DomainID: 19},
}

type domainUser struct {
	ID       int    `json:"id"`
	Login    string `json:"login"`
	Name     string `json:"name"`
	Status   int    `json:"status"`
	DomainID int    `json:"domain_id"`
}
