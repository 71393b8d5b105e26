// Package flipping breaks what a judge is told, for a judge that must notice.
package flipping

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// Transport changes a bit in the middle of answers whose path holds Path; of none where that is empty.
type Transport struct{ Path string }

func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil || t.Path == "" || !strings.Contains(request.URL.Path, t.Path) {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
