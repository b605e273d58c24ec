package advisory

import (
	"context"
	"net/http"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// FetchOptions say how to reach a server.
type FetchOptions struct {
	// Client makes the requests; one with sensible time limits if nil.
	Client *http.Client
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

func buildFromURL(ctx context.Context, o BuildOptions) (Meta, error) {
	return Meta{}, fault.New(fault.Unsupported, "build advisory database from a URL: not built yet")
}
