package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

const (
	// maxImages is how many images one agent may report.
	maxImages = 20_000
	// maxNames is how many names one image may have.
	maxNames = 1_000
	// maxContainers is how many containers one agent may report.
	maxContainers = 50_000
	// Untagged stands for a name or a version that an image does not
	// have, as engines show it.
	Untagged = "<none>"
)

const (
	sqlAgentImages   = `SELECT image_id, engine FROM image_host WHERE agent_id = $1`
	sqlDropImageHost = `DELETE FROM image_host WHERE image_id = $1 AND agent_id = $2 AND engine = $3`
	sqlPutContent    = `INSERT INTO content (id, project_id, config_digest, scan_status, prior_status, scan_failed_desc, latest_scan_time, vul_num, component_num, severity_level, gone_at, revision)
VALUES ($1, $2, $3, 'unscan', 'unscan', '', 0, 0, 0, '', 0, $4)
ON CONFLICT (id) DO UPDATE SET gone_at = 0, revision = excluded.revision`
	sqlPutImage = `INSERT INTO image (id, project_id, content_id, name, version, local_type, size, updated_at, non_scan_reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '')
ON CONFLICT (id) DO UPDATE SET size = excluded.size, updated_at = excluded.updated_at`
	sqlPutDigest    = `INSERT INTO image_digest (project_id, digest, image_id) VALUES ($1, $2, $3) ON CONFLICT (project_id, digest, image_id) DO NOTHING`
	sqlPutImageHost = `INSERT INTO image_host (image_id, agent_id, engine, project_id, non_scan_reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (image_id, agent_id, engine) DO UPDATE SET non_scan_reason = excluded.non_scan_reason`
	sqlDropContainers = `DELETE FROM container WHERE agent_id = $1`
	sqlPutContainer   = `INSERT INTO container (image_id, agent_id, engine, container_id, project_id, name, pod_id, pod_name, entry_point, running) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (image_id, agent_id, engine, container_id) DO NOTHING`
	// The least reason is empty as soon as one host can read the image.
	sqlSetReason = `UPDATE image SET non_scan_reason = COALESCE((SELECT MIN(h.non_scan_reason) FROM image_host h WHERE h.image_id = image.id), '') WHERE id = $1`

	sqlImageHeld     = `SELECT COUNT(*) FROM image_host WHERE image_id = $1`
	sqlImageContent  = `SELECT content_id FROM image WHERE id = $1`
	sqlDropDigests   = `DELETE FROM image_digest WHERE image_id = $1`
	sqlDropImage     = `DELETE FROM image WHERE id = $1`
	sqlContentImages = `SELECT COUNT(*) FROM image WHERE content_id = $1`
	sqlContentGone   = `UPDATE content SET gone_at = $1 WHERE id = $2`
	sqlNextRevision  = `UPDATE matching SET revision = revision + 1 WHERE id = 1 RETURNING revision`
	sqlRevise        = `UPDATE content SET revision = $1 WHERE id = $2`
	sqlSetImagesHash = `UPDATE agent SET images_hash = $1 WHERE id = $2`
)

// imageHost is one image as one engine of an agent holds it.
type imageHost struct{ imageID, engine string }

// reconcile makes the images of an agent what it reported. Images that no
// agent holds any more leave the list; what is known of their content is kept
// for a while (see Sweep), so that an image that is pulled again is not
// scanned again for nothing. It returns the agents to wake.
func (s *Store) reconcile(ctx context.Context, tx *sql.Tx, agentID, project string, states []fleet.ImageState, nowMS int64) error {
	if err := checkStates(states); err != nil {
		return err
	}
	stale := map[imageHost]bool{}
	err := each(ctx, tx, sqlAgentImages, []any{agentID}, func(r *sql.Rows) error {
		var h imageHost
		err := r.Scan(&h.imageID, &h.engine)
		stale[h] = true
		return err
	})
	if err != nil {
		return fmt.Errorf("read agent's images: %w", err)
	}
	held := maps.Clone(stale)
	if _, err := tx.ExecContext(ctx, sqlDropContainers, agentID); err != nil {
		return fmt.Errorf("drop agent's containers: %w", err)
	}
	revision, err := nextRevision(ctx, tx)
	if err != nil {
		return err
	}
	var came, left []moved
	for i := range states {
		ids, err := putState(ctx, tx, agentID, project, &states[i], revision)
		if err != nil {
			return err
		}
		names := namesOf(&states[i])
		for n, id := range ids {
			h := imageHost{id, text(states[i].Engine)}
			delete(stale, h)
			if !held[h] {
				held[h] = true
				came = append(came, moved{names[n].Name + ":" + names[n].Tag, h.engine})
			}
		}
	}
	tags, err := imageTags(ctx, tx, stale)
	if err != nil {
		return err
	}
	for h := range stale {
		if err := s.dropImageHost(ctx, tx, agentID, h, revision, nowMS); err != nil {
			return err
		}
		left = append(left, moved{tags[h.imageID], h.engine})
	}
	return logMoved(ctx, tx, agentID, project, came, left, nowMS)
}

func checkStates(states []fleet.ImageState) error {
	if len(states) > maxImages {
		return fault.New(fault.TooLarge, "%d images: the limit is %d", len(states), maxImages)
	}
	containers := 0
	for _, st := range states {
		if _, err := image.ParseDigest(string(st.ConfigDigest)); err != nil || !strings.HasPrefix(string(st.ConfigDigest), "sha256:") {
			return fault.New(fault.Invalid, "image of %s: config digest %q is not valid", st.Engine, st.ConfigDigest)
		}
		if n := len(st.Names) + len(st.RepoDigests); n > maxNames {
			return fault.New(fault.TooLarge, "image %s: %d names: the limit is %d", st.ConfigDigest.Short(), n, maxNames)
		}
		containers += len(st.Containers) * max(1, len(st.Names))
		if containers > maxContainers {
			return fault.New(fault.TooLarge, "more than %d containers", maxContainers)
		}
	}
	return nil
}

// putState stores one image under each of its names and returns their ids.
func putState(ctx context.Context, tx *sql.Tx, agentID, project string, st *fleet.ImageState, revision int64) ([]string, error) {
	content := contentID(project, st.ConfigDigest)
	if _, err := tx.ExecContext(ctx, sqlPutContent, content, project, string(st.ConfigDigest), revision); err != nil {
		return nil, fmt.Errorf("store content: %w", err)
	}
	digests := otherDigests(st)
	var ids []string
	for _, ref := range namesOf(st) {
		id := imageID(project, st.ConfigDigest, ref)
		kind := localOther
		if ref.SWR() {
			kind = localSWR
		}
		_, err := tx.ExecContext(ctx, sqlPutImage, id, project, content, ref.Name, ref.Tag, kind, max(0, st.Size), max(0, st.CreatedMS))
		if err != nil {
			return nil, fmt.Errorf("store image: %w", err)
		}
		for _, d := range digests {
			if _, err := tx.ExecContext(ctx, sqlPutDigest, project, string(d), id); err != nil {
				return nil, fmt.Errorf("store image digest: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, sqlPutImageHost, id, agentID, text(st.Engine), project, text(st.NonScanReason)); err != nil {
			return nil, fmt.Errorf("store image of agent: %w", err)
		}
		if _, err := tx.ExecContext(ctx, sqlSetReason, id); err != nil {
			return nil, fmt.Errorf("store image's reason: %w", err)
		}
		for _, c := range st.Containers {
			_, err := tx.ExecContext(ctx, sqlPutContainer, id, agentID, text(st.Engine), text(c.ID), project, text(c.Name), text(c.PodID), text(c.PodName), text(c.EntryPoint), boolInt(c.Running))
			if err != nil {
				return nil, fmt.Errorf("store container: %w", err)
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// dropImageHost takes an image away from an agent, and from the list if no
// other agent holds it.
func (s *Store) dropImageHost(ctx context.Context, tx *sql.Tx, agentID string, h imageHost, revision, nowMS int64) error {
	if _, err := tx.ExecContext(ctx, sqlDropImageHost, h.imageID, agentID, h.engine); err != nil {
		return fmt.Errorf("drop image of agent: %w", err)
	}
	var content, n int64
	if err := tx.QueryRowContext(ctx, sqlImageContent, h.imageID).Scan(&content); err != nil {
		return fmt.Errorf("read image's content: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlRevise, revision, content); err != nil {
		return fmt.Errorf("revise content: %w", err)
	}
	if err := tx.QueryRowContext(ctx, sqlImageHeld, h.imageID).Scan(&n); err != nil {
		return fmt.Errorf("count image's hosts: %w", err)
	}
	if n > 0 {
		_, err := tx.ExecContext(ctx, sqlSetReason, h.imageID)
		return err
	}
	for _, q := range []string{sqlDropDigests, sqlDropImage} {
		if _, err := tx.ExecContext(ctx, q, h.imageID); err != nil {
			return fmt.Errorf("drop image: %w", err)
		}
	}
	if err := tx.QueryRowContext(ctx, sqlContentImages, content).Scan(&n); err != nil {
		return fmt.Errorf("count content's images: %w", err)
	}
	if n > 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, sqlContentGone, nowMS, content); err != nil {
		return fmt.Errorf("mark content: %w", err)
	}
	return s.failContent(ctx, tx, content, fleet.FailureImageGone, "the image was removed from every host", nowMS)
}

// nextRevision is the revision of the contents that this transaction changes.
// Transactions that write come one after the other, so that it grows with each.
func nextRevision(ctx context.Context, tx *sql.Tx) (next int64, err error) {
	if err := tx.QueryRowContext(ctx, sqlNextRevision).Scan(&next); err != nil {
		return 0, fmt.Errorf("count revisions: %w", err)
	}
	return next, nil
}

// revise gives a content a new revision: the index reads it again.
func revise(ctx context.Context, tx *sql.Tx, content int64) error {
	revision, err := nextRevision(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, sqlRevise, revision, content); err != nil {
		return fmt.Errorf("revise content: %w", err)
	}
	return nil
}

// namesOf are the names under which an image is listed. One without a tag is
// listed once, under its repository if it has one.
func namesOf(st *fleet.ImageState) []image.Ref {
	if len(st.Names) == 0 {
		ref := image.Ref{Name: Untagged, Tag: Untagged}
		if len(st.RepoDigests) > 0 {
			if r := image.ParseRef(st.RepoDigests[0]); r.Name != "" {
				ref.Name = text(r.Name)
			}
		}
		return []image.Ref{ref}
	}
	out := make([]image.Ref, len(st.Names))
	for i, r := range st.Names {
		if r.Name == "" {
			r.Name = Untagged
		}
		if r.Tag == "" {
			r.Tag = Untagged
		}
		out[i] = image.Ref{Name: text(r.Name), Tag: text(r.Tag)}
	}
	return out
}

// otherDigests are the digests by which an image is found besides its config
// digest.
func otherDigests(st *fleet.ImageState) []image.Digest {
	var out []image.Digest
	if st.ManifestDigest != "" {
		out = append(out, st.ManifestDigest)
	}
	for _, r := range st.RepoDigests {
		if _, d, ok := strings.Cut(r, "@"); ok {
			if d, err := image.ParseDigest(d); err == nil {
				out = append(out, d)
			}
		}
	}
	return out
}

// imageID is the id of an image of the API: a name-based UUID (RFC 9562,
// version 8), so that an image that is removed and pulled again keeps it.
func imageID(project string, config image.Digest, ref image.Ref) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"image", project, string(config), ref.Name, ref.Tag}, "\x00")))
	var u uuid.UUID
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

func contentID(project string, config image.Digest) int64 {
	return rowID("content", project, string(config))
}

// rowID makes the key of a row from what the row says: 63 bits of SHA-256. A
// million rows collide with a chance of about one in twenty million.
func rowID(parts ...string) int64 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}
