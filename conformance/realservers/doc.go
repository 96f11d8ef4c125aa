// Package realservers tests drivers and sessions against servers that were not
// written in this project: qBittorrent, nginx, fail2ban's filter, curl, and
// Asterisk. A simulator shares the misunderstandings of those who wrote it. A
// real server does not.
//
// All is in the tests. README.md has the commands and what they found. A test
// is skipped, by name, where its server is not installed.
package realservers
