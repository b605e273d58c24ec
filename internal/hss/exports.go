package hss

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

// fileFormat is a parameter of ours: the contract leaves the format of the files
// open, and clients of HSS do not send it.
type fileFormat struct {
	FileFormat *string `form:"file_format"`
}

type exportVulsIn struct {
	BatchExportLocalVulTaskParams
	fileFormat
	Body BatchExportLocalVulInfoRequestInfo `body:"json"`
}

func (a *api) batchExportLocalVulTask(ctx context.Context, c call, in *exportVulsIn) (*BatchExportLocalVulTaskResponse, error) {
	b := &in.Body
	if err := oneOf("handle_status", b.HandleStatus, handled, unhandled); err != nil {
		return nil, err
	}
	q, err := a.report(ctx, c, store.ReportVulnerability, &BatchExportSwrBaselineInfoRequestInfo{
		ImageIdList: b.ImageIdList, OperateAll: b.OperateAll, VulType: b.VulType, ScanStatus: b.ScanStatus,
		ImageName: b.ImageName, ImageVersion: b.ImageVersion, ImageSize: b.ImageSize, HasContainer: b.HasContainer,
		StartLatestUpdateTime: b.StartLatestUpdateTime, EndLatestUpdateTime: b.EndLatestUpdateTime,
		StartLatestScanTime: b.StartLatestScanTime, EndLatestScanTime: b.EndLatestScanTime, VulIdList: b.VulIdList,
	})
	if err != nil {
		return nil, err
	}
	q.Handled, _ = whichHandled(value(b.HandleStatus), "")
	id, n, err := a.export(ctx, c, q, in.ExportSize, in.FileFormat)
	if err != nil {
		return nil, err
	}
	return &BatchExportLocalVulTaskResponse{TaskId: &id, RecordTotalNum: &n}, nil
}

type exportBaselineIn struct {
	BatchExportBaselineTaskParams
	fileFormat
	Body BatchExportSwrBaselineInfoRequestInfo `body:"json"`
}

// batchExportBaselineTask is about registry images in HSS unless image_type says
// otherwise. Here it exports what concerns local images, the only ones there are.
func (a *api) batchExportBaselineTask(ctx context.Context, c call, in *exportBaselineIn) (*BatchExportBaselineTaskResponse, error) {
	if !allLocal(in.Body.ImageType) {
		return nil, noReport(in.Body.ImageType)
	}
	q, err := a.report(ctx, c, store.ReportBaseline, &in.Body)
	if err != nil {
		return nil, err
	}
	id, n, err := a.export(ctx, c, q, in.ExportSize, in.FileFormat)
	if err != nil {
		return nil, err
	}
	return &BatchExportBaselineTaskResponse{TaskId: &id, RecordTotalNum: &n}, nil
}

type exportReportIn struct {
	ExportImageSecurityReportTaskParams
	fileFormat
	Body struct {
		ExportImageSecurityReportTaskRequestInfo
		// Required, and told from their zero values.
		ExportSize *int32 `json:"export_size"`
		OperateAll *bool  `json:"operate_all"`
	} `body:"json"`
}

func (a *api) exportImageSecurityReportTask(ctx context.Context, c call, in *exportReportIn) (*ExportImageSecurityReportTaskResponse, error) {
	b := &in.Body
	switch {
	case b.ExportSize == nil:
		return nil, fault.New(fault.Invalid, "export_size is required")
	case b.OperateAll == nil:
		return nil, fault.New(fault.Invalid, "operate_all is required")
	case b.SecurityReportType == "":
		return nil, fault.New(fault.Invalid, "security_report_type is required")
	}
	kinds := []string{store.ReportMalware, store.ReportApps, store.ReportFiles, store.ReportSecrets, store.ReportNonCompliant, store.ReportBuildRisks}
	if err := oneOf("security_report_type", &b.SecurityReportType, kinds...); err != nil {
		return nil, err
	}
	if !isLocal(value(b.ImageType)) { // the default is registry
		return nil, noReport(b.ImageType)
	}
	q, err := a.report(ctx, c, b.SecurityReportType, &BatchExportSwrBaselineInfoRequestInfo{
		ImageIdList: b.ImageIdList, OperateAll: b.OperateAll, ScanStatus: b.ScanStatus, Namespace: b.Namespace,
		ImageName: b.ImageName, ImageVersion: b.ImageVersion, ImageId: b.ImageId, LatestVersion: b.LatestVersion, ImageSize: b.ImageSize,
		StartLatestUpdateTime: b.StartLatestUpdateTime, EndLatestUpdateTime: b.EndLatestUpdateTime,
		StartLatestScanTime: b.StartLatestScanTime, EndLatestScanTime: b.EndLatestScanTime,
		HasMaliciousFile: b.HasMaliciousFile, HasVul: b.HasVul, HasUnsafeSetting: b.HasUnsafeSetting, Risky: b.Risky, SeverityLevel: b.SeverityLevel,
		InstanceName: b.InstanceName, CicdName: b.CicdName,
		BuildCommandRiskLevel: b.BuildCommandRiskLevel, BuildCommandRiskName: b.BuildCommandRiskName, BuildCommandRuleIdList: b.BuildCommandRuleIdList,
	})
	if err != nil {
		return nil, err
	}
	id, _, err := a.export(ctx, c, q, *b.ExportSize, in.FileFormat)
	if err != nil {
		return nil, err
	}
	return &ExportImageSecurityReportTaskResponse{TaskId: &id}, nil
}

type reportStatisticIn struct {
	ShowImageSecurityReportStatisticParams
	Body BatchExportSwrBaselineInfoRequestInfo `body:"json"`
}

func (a *api) showImageSecurityReportStatistic(ctx context.Context, c call, in *reportStatisticIn) (*ShowImageSecurityReportStatisticResponse, error) {
	if err := oneOf("image_type", in.Body.ImageType, append([]string{"local", "local_image"}, registryTypes...)...); err != nil {
		return nil, err
	}
	if !allLocal(in.Body.ImageType) {
		return &ShowImageSecurityReportStatisticResponse{TotalNum: new(int64)}, nil
	}
	q, err := a.report(ctx, c, in.SecurityReportType, &in.Body)
	if err != nil {
		return nil, err
	}
	n, err := a.recordNum(ctx, c, q)
	if err != nil {
		return nil, err
	}
	return &ShowImageSecurityReportStatisticResponse{TotalNum: &n}, nil
}

// registryTypes are the types of images that there are none of.
var registryTypes = []string{"private_image", "shared_image", "instance_image", "harbor", "jfrog", "cicd"}

func noReport(imageType *string) error {
	if err := oneOf("image_type", imageType, append([]string{"local_image"}, registryTypes...)...); err != nil {
		return err
	}
	return fault.New(fault.Unsupported, "images of the type %q are not supported: set image_type to local_image", value(imageType))
}

// report reads what a report is to have. All images, narrowed by the filters; else
// the list; else the filters; else an error, as with scans.
func (a *api) report(ctx context.Context, c call, kind string, b *BatchExportSwrBaselineInfoRequestInfo) (q store.ReportQuery, err error) {
	for _, e := range []error{
		oneOf("vul_type", b.VulType, store.VulLinux, store.VulApp),
		oneOf("severity_level", b.SeverityLevel, "Security", "Low", "Medium", "High"),
		oneOf("build_command_risk_level", b.BuildCommandRiskLevel, "critical", "high", "medium", "low"),
		notNegative("image_size", b.ImageSize),
		notNegative("start_latest_update_time", b.StartLatestUpdateTime), notNegative("end_latest_update_time", b.EndLatestUpdateTime),
		notNegative("start_latest_scan_time", b.StartLatestScanTime), notNegative("end_latest_scan_time", b.EndLatestScanTime),
	} {
		if e != nil {
			return q, e
		}
	}
	q = store.ReportQuery{
		Kind: kind, VulType: value(b.VulType), VulIDs: listOf(b.VulIdList),
		RiskLevel: value(b.BuildCommandRiskLevel), RiskName: value(b.BuildCommandRiskName), RiskIDs: listOf(b.BuildCommandRuleIdList),
		Images: store.ReportImages{
			ImageFilter: store.ImageFilter{
				Name: value(b.ImageName), Version: value(b.ImageVersion), Status: scanStatus(value(b.ScanStatus)), Size: b.ImageSize,
				UpdatedFrom: b.StartLatestUpdateTime, UpdatedTo: b.EndLatestUpdateTime,
				ScannedFrom: b.StartLatestScanTime, ScannedTo: b.EndLatestScanTime, HasVul: b.HasVul, HasContainer: b.HasContainer,
			},
			LatestVersion: value(b.LatestVersion), HasMalware: b.HasMaliciousFile, HasUnsafe: b.HasUnsafeSetting, Risky: b.Risky,
			SeverityLevel: value(b.SeverityLevel),
		},
	}
	f := &q.Images
	if id := value(b.ImageId); id != "" {
		f.IDs = []string{id}
	}
	ids := listOf(b.ImageIdList)
	if n := max(len(ids), len(q.VulIDs), len(q.RiskIDs)); n > maxImageList {
		return q, fault.New(fault.Invalid, "%d images, vulnerabilities or rules are listed: the limit is %d", n, maxImageList)
	}
	foreign := value(b.Namespace) != "" || value(b.InstanceName) != "" || value(b.InstanceId) != "" || value(b.CicdName) != ""
	switch {
	case value(b.OperateAll):
	case len(ids) > 0:
		f.ImageFilter, f.IDs, foreign = store.ImageFilter{}, ids, false
		f.LatestVersion, f.HasMalware, f.HasUnsafe, f.Risky, f.SeverityLevel = false, nil, nil, nil, ""
	case !foreign && q.IsZero():
		return q, fault.New(fault.Invalid, "the request selects no image: give operate_all, image_id_list or a filter")
	}
	if foreign {
		f.IDs = []string{} // no local image has these
	}
	return q, a.store.KnownImages(ctx, c.Tenants, f.IDs)
}

// listOf is nil for an empty list: it is no filter.
func listOf(list *[]string) []string {
	if len(value(list)) == 0 {
		return nil
	}
	out := slices.Clone(*list)
	slices.Sort(out)
	return slices.Compact(out)
}

// oneOf checks a member that the table of parameters does not.
func oneOf(name string, v *string, values ...string) error {
	if value(v) == "" || slices.Contains(values, *v) {
		return nil
	}
	return fault.New(fault.Invalid, "%s: %q is not one of %s", name, *v, strings.Join(values, ", "))
}

// notNegative checks a member as the table of parameters does in a query.
func notNegative(name string, v *int64) error {
	if value(v) >= 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s: %d is less than 0", name, *v)
}

// recordNum counts the records of a report over all tenants of a call. That nothing
// is known in one of them is the answer only if no other has any.
func (a *api) recordNum(ctx context.Context, c call, q store.ReportQuery) (total int64, err error) {
	var unknown error
	for _, t := range c.Tenants {
		n, err := a.store.ReportNum(ctx, t, q)
		switch {
		case fault.CodeOf(err) == fault.Conflict:
			unknown = err
		case err != nil:
			return 0, err
		}
		total += n
	}
	if total == 0 {
		return 0, unknown
	}
	return total, nil
}

// export accepts an export of at most size records and says how many it will have.
func (a *api) export(ctx context.Context, c call, q store.ReportQuery, size int32, format *string) (id string, records int64, err error) {
	if size < 0 {
		return "", 0, fault.New(fault.Invalid, "export_size: %d is less than 0", size)
	}
	if err := oneOf("file_format", format, store.FormatCSV, store.FormatXLSX); err != nil {
		return "", 0, err
	}
	e := store.Export{Tenants: c.Tenants, Query: q, Format: value(format), MaxRecords: int64(size), CreatedBy: c.Key.By()}
	if e.Format == "" {
		e.Format = store.FormatCSV
	}
	if e.RecordNum, err = a.recordNum(ctx, c, q); err != nil {
		return "", 0, err
	}
	e.RecordNum = min(e.RecordNum, e.MaxRecords)
	id, err = a.store.AddExport(ctx, e)
	return id, e.RecordNum, err
}

type exportTaskIn struct {
	ListQueryExportTaskParams
	TaskID string `path:"task_id"`
}

func (a *api) listQueryExportTask(ctx context.Context, c call, in *exportTaskIn) (*ListQueryExportTaskResponse, error) {
	e, err := a.store.Export(ctx, c.Tenants, in.TaskID)
	if err != nil {
		return nil, err
	}
	out := &ListQueryExportTaskResponse{TaskId: &e.ID, TaskName: &e.Name, TaskStatus: exportStatus(e)}
	if e.State == store.ExportSuccess {
		out.FileId, out.FileName = &e.FileID, &e.FileName
	}
	return out, nil
}

// showLatestExportTaskByType goes by the id: the contract has no words for types,
// so a type that is given is not looked at.
func (a *api) showLatestExportTaskByType(ctx context.Context, c call, in *ShowLatestExportTaskByTypeParams) (*ShowLatestExportTaskByTypeResponse, error) {
	task, err := a.listQueryExportTask(ctx, c, &exportTaskIn{TaskID: in.TaskId})
	if err != nil {
		return nil, err
	}
	return (*ShowLatestExportTaskByTypeResponse)(task), nil
}

func exportStatus(e store.Export) *string {
	switch e.State {
	case store.ExportSuccess, store.ExportFailure:
		return &e.State
	}
	return new("running") // or waits: the contract has one word for both
}

type downloadIn struct {
	ListDownloadExportedFileParams
	FileID string `path:"file_id"`
}

// listDownloadExportedFile answers with the types that the SDK's listener of progress
// knows.
func (a *api) listDownloadExportedFile(ctx context.Context, c call, in *downloadIn) (*stream, error) {
	e, err := a.store.ExportFile(ctx, c.Tenants, in.FileID)
	if err != nil {
		return nil, err
	}
	s := &stream{
		name: e.FileName, contentType: "application/zip", etag: `"` + e.Digest + `"`, modified: time.UnixMilli(e.EndedAt),
		size: e.Size, pieceSize: store.ExportPiece,
		piece: func(ctx context.Context, n int64) ([]byte, error) { return a.store.ExportChunk(ctx, e.FileID, n) },
	}
	if e.Format != store.FormatCSV {
		s.contentType = "application/octet-stream"
	}
	return s, nil
}
