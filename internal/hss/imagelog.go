package hss

import (
	"cmp"
	"context"

	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// listContainerImageLogs has no parameter for an enterprise project: it lists
// what happened in all that the key may see, newest first.
func (a *api) listContainerImageLogs(ctx context.Context, c call, in *ListContainerImageLogsParams) (*ListContainerImageLogsResponse, error) {
	f := store.LogFilter{
		Type: value(in.EventType), Name: value(in.EventName), ResourceType: value(in.ResourceType), Resource: value(in.ResourceName),
		IP: value(in.SourceIp), User: value(in.UserName), From: in.StartTime, To: in.EndTime,
	}
	rows, total, err := tenant.Merged(c.Call, func(t string, p store.Page) ([]store.LogEntry, int64, error) {
		return a.store.ImageLog(ctx, t, f, p)
	}, func(a, b *store.LogEntry) int {
		return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.N, a.N), cmp.Compare(a.ID, b.ID))
	}, func(e *store.LogEntry) string { return e.ID }, func(_, _ *store.LogEntry) {})
	if err != nil {
		return nil, err
	}
	list := make([]ContainerImageLogResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ContainerImageLogResponseInfo{
			EventId: &r.ID, EventType: &r.Type, EventName: &r.Name, ResourceType: &r.ResourceType, ResourceName: &r.Resource,
			SourceIp: &r.By.IP, UserName: &r.By.Name, Time: &r.At, Content: &r.Content,
		}
	}
	return &ListContainerImageLogsResponse{TotalNum: int32p(total), DataList: &list}, nil
}
