package fleet

import (
	"context"
	"encoding/json"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Paths of the agent protocol, version 1. All but enrolment are signed with
// the agent's own access key.
const (
	PathEnroll  = "/agent/v1/enroll"         // POST EnrollRequest -> EnrollResponse
	PathSync    = "/agent/v1/sync"           // POST SyncRequest -> SyncResponse, long poll
	PathMissing = "/agent/v1/layers/missing" // POST MissingRequest -> MissingResponse
	PathLayers  = "/agent/v1/layers/"        // PUT {diff ID}: report.LayerReport as JSON, zstd
	PathJobs    = "/agent/v1/jobs/"          // POST {id}/finish FinishRequest -> {}
)

// A Host is the machine an agent runs on.
type Host struct {
	// ID is stable for the machine (from /etc/machine-id, hashed).
	ID   string `json:"id"`
	Name string `json:"name"`
	// PrivateIP and PublicIP are IPv4 addresses, "" if unknown.
	PrivateIP string `json:"private_ip,omitempty"`
	PublicIP  string `json:"public_ip,omitempty"`
	OS        string `json:"os,omitempty"`
	Arch      string `json:"arch,omitempty"`
	// Version of the agent.
	Version string `json:"version,omitempty"`
	// Engines found on the host, with their state.
	Engines []Engine `json:"engines,omitempty"`
}

// An Engine is one container engine of a host.
type Engine struct {
	Name    string `json:"name"` // "docker", "containerd"
	Version string `json:"version,omitempty"`
	// Error says why the engine cannot be read, "" if it can.
	Error string `json:"error,omitempty"`
}

// EnrollRequest trades a one-time enrolment key for an agent's own key pair.
type EnrollRequest struct {
	EnrollKey string `json:"enroll_key"`
	Host      Host   `json:"host"`
}

// EnrollResponse carries the key pair. The secret is sent this once.
type EnrollResponse struct {
	AgentID   string `json:"agent_id"`
	ProjectID string `json:"project_id"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// An ImageState is one image of a host, as its agent sees it. The same
// content held by two engines is two states.
type ImageState struct {
	Engine         string            `json:"engine"`
	ConfigDigest   image.Digest      `json:"config_digest"`
	ManifestDigest image.Digest      `json:"manifest_digest,omitempty"`
	Names          []image.Ref       `json:"names,omitempty"`
	RepoDigests    []string          `json:"repo_digests,omitempty"`
	Platform       image.Platform    `json:"platform"`
	Size           int64             `json:"size"`
	CreatedMS      int64             `json:"created_ms"`
	Containers     []image.Container `json:"containers,omitempty"`
	NonScanReason  string            `json:"non_scan_reason,omitempty"`
}

// SyncRequest is the heartbeat of an agent.
type SyncRequest struct {
	Host Host `json:"host"`
	// Analyzers is the key of all the agent's analysers, as report.JoinKeys
	// writes it.
	Analyzers string `json:"analyzers"`
	// ImagesHash names the agent's present list of images. Images is nil
	// if the server knows that list already.
	ImagesHash string        `json:"images_hash"`
	Images     *[]ImageState `json:"images,omitempty"`
	// Holds are the leases the agent is working on, to be renewed. A
	// lease of this agent that is not in Holds is free again at once:
	// the agent was restarted and has forgotten it.
	Holds []string `json:"holds,omitempty"`
	// Want is how many more jobs the agent can take.
	Want int `json:"want"`
	// WaitMS is how long the server may park the request, at most 60,000.
	WaitMS int `json:"wait_ms"`
	// WordsVersion names the words that the agent guesses passwords with
	// beside ours: that of SyncResponse, NoWords if it has none. Empty says
	// that it takes none.
	WordsVersion string `json:"words_version,omitempty"`

	// Poll names this request among all of the agent, and Parked says that it
	// was asked before and has waited: then it is superseded if the agent has
	// sent another since, to whichever server. Both are the server's.
	Poll   string `json:"-"`
	Parked bool   `json:"-"`
}

// NoWords is the version of an empty list of words.
const NoWords = "none"

// SyncResponse is what the server wants.
type SyncResponse struct {
	// SendImages asks for the full list with the next sync.
	SendImages bool  `json:"send_images,omitempty"`
	Jobs       []Job `json:"jobs,omitempty"`
	// Stop lists held jobs that are no longer wanted.
	Stop []string `json:"stop,omitempty"`
	// Words are the operator's, to guess passwords with from the jobs of
	// this answer on, and WordsVersion their version. Words is nil if the
	// agent has them already, or takes none.
	WordsVersion string    `json:"words_version,omitempty"`
	Words        *[]string `json:"words,omitempty"`

	// Superseded says that nothing was done: see SyncRequest.Parked.
	Superseded bool `json:"-"`
}

// A Job is one image to scan, leased to one agent.
type Job struct {
	ID           string       `json:"id"`
	ConfigDigest image.Digest `json:"config_digest"`
	// Checks names what is wanted (report.Checks) beside packages, which
	// always are; nil for all that the agent can do.
	Checks []string `json:"checks"`
	// LeaseMS is how long the lease lasts without renewal.
	LeaseMS int64 `json:"lease_ms"`
}

// MissingRequest asks which layer reports the server lacks. Analyzers is the key
// of one check.
type MissingRequest struct {
	Analyzers string         `json:"analyzers"`
	DiffIDs   []image.Digest `json:"diff_ids"`
}

// MissingResponse names them, in the order asked.
type MissingResponse struct {
	DiffIDs []image.Digest `json:"diff_ids"`
}

// FinishRequest ends a job. With Failure empty the image report must be
// complete: every layer report is on the server.
type FinishRequest struct {
	// Failure is one of the Failure constants, "" for success.
	Failure string `json:"failure,omitempty"`
	// Message says more for the log and the task's failed_reason.
	Message string `json:"message,omitempty"`
	// Image is the report of the image; set on success.
	Image *ImageReport `json:"image,omitempty"`
}

// An ImageReport ties layer reports to an image.
type ImageReport struct {
	ConfigDigest image.Digest `json:"config_digest"`
	// Analyzers are the keys of the checks that were made, joined.
	Analyzers string         `json:"analyzers"`
	DiffIDs   []image.Digest `json:"diff_ids"`
	// Config is the image configuration, verbatim.
	Config json.RawMessage `json:"config"`
	// Partial are reports, for one check each, of layers that could not be
	// read to their end;
	// they count for this image and are never kept for the fleet.
	Partial []report.LayerReport `json:"partial,omitempty"`
}

// Failures, as HSS names them in scan_failed_desc.
const (
	FailureUnknown       = "unknown_error"
	FailureNoAgent       = "failed_to_match_agent"
	FailureEngineOffline = "docker_offline"
	FailureNoRoot        = "get_docker_root_failed"
	FailureImageGone     = "image_not_exist_or_docker_api_fault"
	FailureTooLarge      = "huge_image"
	FailureNFS           = "docker_root_in_nfs"
	FailureTimeout       = "response_timed_out"
)

// Enroller creates agents. Safe for concurrent use.
type Enroller interface {
	// Enroll checks the enrolment key and creates the agent, or gives an
	// agent known by the same host ID a new key pair. An unknown or spent
	// enrolment key is fault.Unauthenticated.
	Enroll(ctx context.Context, req EnrollRequest, nowMS int64) (EnrollResponse, error)
}

// Work is the queue behind sync. Safe for concurrent use.
type Work interface {
	// Sync records the heartbeat and the images, renews and frees leases,
	// and leases up to req.Want jobs whose image the agent holds. It never
	// waits. req.Images nil with an unknown ImagesHash answers SendImages.
	Sync(ctx context.Context, agent auth.Key, req SyncRequest, nowMS int64) (SyncResponse, error)
	// Changed returns a channel that is closed when there may be new work
	// for the agent (jobs or stops).
	Changed(agentID string) <-chan struct{}
	// Finish ends a leased job. Finishing a job twice, or one that was
	// given to another agent, is harmless: the first result stands and no
	// error is returned. A success with layer reports missing is
	// fault.Conflict, and the job stays leased.
	Finish(ctx context.Context, agent auth.Key, jobID string, req FinishRequest, nowMS int64) error
}

// Reports keeps layer reports. Safe for concurrent use.
type Reports interface {
	// MissingLayers returns those of req.DiffIDs without a report.
	MissingLayers(ctx context.Context, req MissingRequest) ([]image.Digest, error)
	// PutLayer keeps a complete report; an equal one is harmless.
	PutLayer(ctx context.Context, r *report.LayerReport) error
}
