package session

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// maxPeek is how much of a response is read to see whether the PBX refused the
// token. Refusals are a few hundred bytes.
const maxPeek = 64 << 10

// isMedia reports whether a type is that of a recording, a download or a stream.
func isMedia(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind, of, _ := strings.Cut(strings.TrimSpace(media), "/")
	switch kind {
	case "audio", "video", "image", "multipart":
		return true
	}
	return strings.Contains(of, "stream") || strings.Contains(of, "ndjson") || strings.Contains(of, "grpc")
}

// decode unpacks the beginning of a compressed body, for the look only. It
// reports whether what it returns can be read.
func decode(encoding string, head []byte) ([]byte, bool) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return head, true
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(bytes.NewReader(head))
		if err != nil {
			return nil, len(head) == 0
		}
		plain, err := io.ReadAll(io.LimitReader(r, maxPeek))
		// The beginning of a longer body ends in the middle.
		return plain, err == nil || len(plain) > 0
	}
	return nil, len(head) == 0
}

// isWebPage reports whether a body is a web page, which says nothing about
// tokens. A page may begin with a byte order mark, a comment, or the line that
// says which XML it is.
func isWebPage(body []byte) bool {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if !bytes.HasPrefix(body, []byte("<")) { // nearly all that is none
		return false
	}
	if bytes.HasPrefix(body, []byte("<?xml")) {
		_, body, _ = bytes.Cut(body, []byte("?>"))
	}
	return strings.HasPrefix(http.DetectContentType(body), "text/html")
}
