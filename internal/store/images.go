package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

// An Image is one row of the list of local images.
type Image struct {
	ID             string
	ConfigDigest   string
	Name           string
	Version        string
	LocalType      string
	Size           int64 // bytes
	UpdatedAt      int64 // Unix milliseconds
	NonScanReason  string
	Status         string
	FailedDesc     string // "" unless Status is StatusFailed
	LatestScanTime int64  // Unix milliseconds, 0 before the first success
	VulNum         int64  // distinct vulnerabilities
	ComponentNum   int64
	SeverityLevel  string // "" before the first success
	// UnsafeSettingNum counts failed rules of baselines and weak passwords,
	// MaliciousFileNum malicious files; nil if they were not looked for.
	UnsafeSettingNum, MaliciousFileNum *int64
	HostNum                            int64
	ContainerNum                       int64
	// The reporting agent: the first of those that hold the image.
	AgentID, HostID, HostName string
}

const (
	sqlPageImages = `SELECT t.id, t.config_digest, t.name, t.version, t.local_type, t.size, t.updated_at, t.non_scan_reason, t.scan_status, t.scan_failed_desc, t.latest_scan_time, t.vul_num, t.component_num, t.severity_level,
(SELECT SUM(k.num) FROM content_check k WHERE k.content_id = t.content_id AND k.name IN ('baseline', 'passwords')),
(SELECT k.num FROM content_check k WHERE k.content_id = t.content_id AND k.name = 'malware'),
(SELECT COUNT(DISTINCT h.agent_id) FROM image_host h WHERE h.image_id = t.id),
(SELECT COUNT(*) FROM container k WHERE k.image_id = t.id),
COALESCE(a.id, ''), COALESCE(a.host_id, ''), COALESCE(a.host_name, '')
FROM (SELECT i.id, i.content_id, c.config_digest, i.name, i.version, i.local_type, i.size, i.updated_at, i.non_scan_reason, c.scan_status, c.scan_failed_desc, c.latest_scan_time, c.vul_num, c.component_num, c.severity_level
FROM image i JOIN content c ON c.id = i.content_id WHERE i.id IN {in}) t
LEFT JOIN agent a ON a.id = (SELECT MIN(h.agent_id) FROM image_host h WHERE h.image_id = t.id)`
	// From what is few to the images.
	sqlHostAgents      = `SELECT a.id FROM agent a WHERE {where}`
	sqlHostImages      = `SELECT h.image_id FROM image_host h WHERE h.agent_id IN {in}`
	sqlContainerImages = `SELECT k.image_id FROM container k WHERE {where}`
	sqlFindImage       = `SELECT content_id FROM image WHERE id = $1 AND project_id = $2`
	sqlCountHosts      = `SELECT COUNT(*) FROM (SELECT DISTINCT h.agent_id, h.engine FROM image_host h JOIN image i ON i.id = h.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = h.agent_id WHERE {where}) t`
	sqlListHosts       = `SELECT DISTINCT a.id, a.last_seen, a.host_name, a.host_id, a.version, a.private_ip, a.public_ip, h.engine, a.engines FROM image_host h JOIN image i ON i.id = h.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = h.agent_id
WHERE {where} ORDER BY a.host_name, a.id, h.engine LIMIT ? OFFSET ?`
	sqlCountContainers = `SELECT COUNT(*) FROM (SELECT DISTINCT k.agent_id, k.engine, k.container_id FROM container k JOIN image i ON i.id = k.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = k.agent_id WHERE {where}) t`
	sqlListContainers  = `SELECT DISTINCT k.agent_id, k.engine, k.container_id, k.name, a.host_id, a.host_name, k.pod_id, k.pod_name, a.private_ip, a.public_ip, k.entry_point FROM container k JOIN image i ON i.id = k.image_id JOIN content c ON c.id = i.content_id JOIN agent a ON a.id = k.agent_id
WHERE {where} ORDER BY k.container_id, k.agent_id, k.engine LIMIT ? OFFSET ?`
	sqlCountApps = `SELECT COUNT(*) FROM (SELECT DISTINCT p.type, p.name, p.version FROM content_part cp CROSS JOIN part_package pp CROSS JOIN package p WHERE pp.part_id = cp.part_id AND p.id = pp.package_id AND {where}) t`
	sqlListApps  = `SELECT t.type, t.name, t.version, COALESCE(counted.n, 0)
FROM (SELECT DISTINCT p.type, p.name, p.version FROM content_part cp CROSS JOIN part_package pp CROSS JOIN package p WHERE pp.part_id = cp.part_id AND p.id = pp.package_id AND {where} ORDER BY p.name, p.type, p.version LIMIT ? OFFSET ?) t
LEFT JOIN (SELECT q.type, q.name, q.version, COUNT(DISTINCT f.vul_id) AS n FROM content_part cq CROSS JOIN part_package pq CROSS JOIN package q CROSS JOIN finding f
WHERE pq.part_id = cq.part_id AND pq.counted = 1 AND q.id = pq.package_id AND f.package_id = pq.package_id AND cq.content_id = ? GROUP BY q.type, q.name, q.version) counted
ON counted.type = t.type AND counted.name = t.name AND counted.version = t.version
ORDER BY t.name, t.type, t.version`
)

// Images lists local images by name, version and id, and says how many there
// are before paging.
func (s *Store) Images(ctx context.Context, project string, f ImageFilter, p Page) (out []Image, total int64, err error) {
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		keep, err := s.keep(ctx, tx, revision, project, f)
		if err != nil {
			return err
		}
		page, n, err := s.imagesOf(project, revision, p, f.key(project), f.named(), keep)
		if err != nil {
			return err
		}
		total = n
		out, err = inOrder(ctx, tx, sqlPageImages, imagesOf(page), func(r *sql.Rows) (string, Image, error) {
			var i Image
			err := r.Scan(&i.ID, &i.ConfigDigest, &i.Name, &i.Version, &i.LocalType, &i.Size, &i.UpdatedAt, &i.NonScanReason,
				&i.Status, &i.FailedDesc, &i.LatestScanTime, &i.VulNum, &i.ComponentNum, &i.SeverityLevel, &i.UnsafeSettingNum, &i.MaliciousFileNum,
				&i.HostNum, &i.ContainerNum, &i.AgentID, &i.HostID, &i.HostName)
			if i.Status != StatusFailed {
				i.FailedDesc = ""
			}
			return i.ID, i, err
		})
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images: %w", err)
	}
	return out, total, nil
}

// inOrder reads rows of a query that has "{in}" in the place of their keys, and
// returns them in the order of these.
func inOrder[K string | int64, T any](ctx context.Context, tx *sql.Tx, query string, keys []K, scan func(*sql.Rows) (K, T, error)) ([]T, error) {
	rows := make(map[K]T, len(keys))
	err := eachIn(ctx, tx, query, keys, func(r *sql.Rows) error {
		k, row, err := scan(r)
		rows[k] = row
		return err
	})
	if err != nil {
		return nil, err
	}
	return arrange(keys, rows), nil
}

// ImageNum counts the local images of a project.
func (s *Store) ImageNum(ctx context.Context, project string) (n int64, err error) {
	err = s.inFleet(ctx, func(_ *sql.Tx, revision int64) error {
		_, n, err = s.index.images(project, revision, Page{}, ImageSelector{}, nil)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count images: %w", err)
	}
	return n, nil
}

// ImageKey names images by what is given of them; texts are exact.
type ImageKey struct {
	// Digest is a config, manifest or repository digest, with or without
	// its "sha256:".
	Digest        string
	Name, Version string
	AgentID       string
}

func (k ImageKey) add(w *where, project, agentColumn string) {
	if k != (ImageKey{AgentID: k.AgentID}) {
		w.add("i.project_id = ?", project) // for the index of names
	}
	w.digest(project, k.Digest)
	w.equal("i.name", k.Name)
	w.equal("i.version", k.Version)
	w.equal(agentColumn, k.AgentID)
}

// A Host is a host that holds an image, once for each engine that does.
type Host struct {
	AgentID, HostID, HostName string
	Online                    bool
	AgentVersion              string
	PrivateIP, PublicIP       string
	Engine, EngineVersion     string
}

// Hosts lists the hosts that hold one of the images of a key; hostName is a
// substring.
func (s *Store) Hosts(ctx context.Context, project string, k ImageKey, hostName string, p Page) (out []Host, total int64, err error) {
	if k == (ImageKey{AgentID: k.AgentID}) {
		return s.allHosts(ctx, project, k.AgentID, hostName, p)
	}
	w := &where{} // from the images, of which there are few, to their hosts
	k.add(w, project, "h.agent_id")
	w.contains("a.host_name", hostName)
	total, err = s.list(ctx, w, sqlCountHosts, sqlListHosts, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		h, engines, err := s.scanHost(r)
		out = append(out, h.of(h.Engine, engines))
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list hosts: %w", err)
	}
	return out, total, nil
}

// scanHost reads a host and what is known of its engines.
func (s *Store) scanHost(r *sql.Rows) (h Host, known []fleet.Engine, err error) {
	var seen int64
	var engines []byte
	if err := r.Scan(&h.AgentID, &seen, &h.HostName, &h.HostID, &h.AgentVersion, &h.PrivateIP, &h.PublicIP, &h.Engine, &engines); err != nil {
		return h, nil, err
	}
	h.Online = seen >= s.now().Add(-OnlineTime).UnixMilli()
	if err := json.Unmarshal(engines, &known); err != nil {
		return h, nil, fmt.Errorf("read engines of %s: %w", h.AgentID, err)
	}
	return h, known, nil
}

// of is the row of a host for one of its engines.
func (h Host) of(engine string, known []fleet.Engine) Host {
	h.Engine = engine
	for _, e := range known {
		if e.Name == engine {
			h.EngineVersion = e.Version
		}
	}
	return h
}

// A Container is one container made from an image.
type Container struct {
	AgentID, HostID, HostName string
	PrivateIP, PublicIP       string
	Engine                    string
	ID, Name                  string
	PodID, PodName            string
	EntryPoint                string
}

// Containers lists the containers made from the images of a key; containerID
// is exact, "" for all.
func (s *Store) Containers(ctx context.Context, project string, k ImageKey, containerID string, p Page) (out []Container, total int64, err error) {
	if k == (ImageKey{}) && containerID == "" {
		return s.allContainers(ctx, project, p)
	}
	w := &where{}
	if containerID != "" || k == (ImageKey{AgentID: k.AgentID}) {
		w.add("k.project_id = ?", project)
	}
	k.add(w, project, "k.agent_id")
	w.equal("k.container_id", containerID)
	if out, total, err = s.containers(ctx, w, p); err != nil {
		return nil, 0, fmt.Errorf("list containers: %w", err)
	}
	return out, total, nil
}

func (s *Store) containers(ctx context.Context, w *where, p Page) (out []Container, total int64, err error) {
	total, err = s.list(ctx, w, sqlCountContainers, sqlListContainers, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		c, err := scanContainer(r)
		out = append(out, c)
		return err
	})
	return out, total, err
}

func scanContainer(r *sql.Rows) (c Container, err error) {
	err = r.Scan(&c.AgentID, &c.Engine, &c.ID, &c.Name, &c.HostID, &c.HostName, &c.PodID, &c.PodName, &c.PrivateIP, &c.PublicIP, &c.EntryPoint)
	return c, err
}

// An App is one installed piece of software of an image.
type App struct {
	Type, Name, Version string
	// VulNum counts distinct vulnerabilities.
	VulNum int64
}

// Apps lists the software of an image; name is a substring. An unknown image
// is fault.NotFound.
func (s *Store) Apps(ctx context.Context, project, imageID, name string, p Page) (out []App, total int64, err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	w := &where{}
	w.add("cp.content_id = ? AND pp.declared = 0", content)
	w.contains("p.name", name)
	total, err = s.list(ctx, w, sqlCountApps, sqlListApps, []any{p.Limit, p.Offset, content}, func(r *sql.Rows) error {
		var a App
		err := r.Scan(&a.Type, &a.Name, &a.Version, &a.VulNum)
		out = append(out, a)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list software: %w", err)
	}
	return out, total, nil
}

// contentOf finds the content of an image of a project.
func (s *Store) contentOf(ctx context.Context, project, imageID string) (content int64, err error) {
	err = s.read.QueryRowContext(ctx, sqlFindImage, text(imageID), project).Scan(&content)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "there is no image %s", imageID)
	}
	if err != nil {
		return 0, fmt.Errorf("find image: %w", err)
	}
	return content, nil
}

// list counts what a condition selects and reads one page of it, both from
// one view of the database. pageArgs follow the condition's in the page query.
func (s *Store) list(ctx context.Context, w *where, count, page string, pageArgs []any, scan func(*sql.Rows) error) (total int64, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		total, err = listIn(ctx, tx, w, count, page, pageArgs, scan)
		return err
	})
	return total, err
}

// listIn is list in a view that there is.
func listIn(ctx context.Context, tx *sql.Tx, w *where, count, page string, pageArgs []any, scan func(*sql.Rows) error) (total int64, err error) {
	q, args := w.query(count)
	if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
		return 0, err
	}
	q, args = w.query(page, pageArgs...)
	return total, each(ctx, tx, q, args, scan)
}
