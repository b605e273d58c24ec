package store

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/auth"
)

// plans are all queries whose tables grow with the fleet, as they are sent.
func plans(project string) map[string]struct {
	query string
	args  []any
} {
	type q = struct {
		query string
		args  []any
	}
	yes, n := true, int64(1)
	every := ImageFilter{
		Name: "a", Version: "b", Status: StatusSuccess, LocalType: localSWR, Size: &n, UpdatedFrom: new(int64), UpdatedTo: &n,
		ScannedFrom: new(int64), ScannedTo: &n, HasVul: &yes, HasContainer: &yes, HostName: "h", HostID: "h", HostIP: "1", PrivateIP: "1",
		PublicIP: "1", ContainerID: "c", ContainerName: "c", PodID: "p", PodName: "p", AppName: "a",
	}
	key := ImageKey{Digest: "d", Name: "n", Version: "v", AgentID: "a"}
	vul := VulFilter{ID: "v", Name: "v", App: "a", CVE: "c", Type: VulApp, Severities: []int64{1, 2}}
	out := map[string]q{}
	add := func(name string, w *where, statement string, args ...any) {
		text, all := w.query(statement, args...)
		out[name] = q{text, all}
	}
	for name, f := range map[string]ImageFilter{"all": {}, "filtered": every} {
		add("select images "+name, f.where(project), sqlSelectImages)
	}
	refused := true
	for name, f := range map[string]AuditFilter{"all": {}, "user": {User: "u"}, "key": {AK: "k"}, "project": {Project: "p"}, "refused": {Refused: &refused}, "client": {Client: "c", Operation: "o"}} {
		add("audit "+name, f.where(), sqlAudit, 10)
	}
	for name, k := range map[string]ScanImage{"id": {ID: "i"}, "digest": {Digest: "d", Name: "n", Version: "v"}, "name": {Name: "n", Version: "v"}} {
		add("member by "+name, k.where(project), sqlSelectImages)
	}
	add("page of containers", containersWhere(project, []containerKey{{id: "c"}}), sqlPageContainers)
	add("agents all", agentsWhere(project, "", ""), sqlAgentsInOrder)
	add("agents filtered", agentsWhere(project, "a", "h"), sqlAgentsInOrder)
	for name, k := range map[string]ImageKey{"filtered": key} {
		w := &where{}
		k.add(w, project, "h.agent_id")
		add("hosts "+name, w, sqlListHosts, 10, 0)
		add("count hosts "+name, w, sqlCountHosts)
		w = &where{}
		k.add(w, project, "k.agent_id")
		add("containers "+name, w, sqlListContainers, 10, 0)
		add("count containers "+name, w, sqlCountContainers)
	}
	apps := &where{}
	apps.add("cp.content_id = ? AND pp.declared = 0", 1)
	add("apps", apps, sqlListApps, 10, 0, 1)
	add("count apps", apps, sqlCountApps)
	for name, f := range map[string]VulFilter{"all": {}, "filtered": vul} {
		w := &where{}
		w.add("cp.content_id = ?", 1)
		f.add(w)
		add("findings "+name, w, sqlListFindings, 10, 0)
		add("count findings "+name, w, sqlCountFindings)
		if f.ID == "" {
			add("count findings of "+name, w, sqlCountFindingsOf)
		}
		w = vulnerabilitiesWhere(project, f)
		text, all := listVuls(project, f, Page{Limit: 10})
		out["vulnerabilities "+name] = q{text, all}
		add("count vulnerabilities "+name, w, sqlCountVuls)
	}
	for name, is := range map[string]*bool{"open": new(false), "handled": new(true)} {
		w := &where{}
		w.add("cp.content_id = ?", 1)
		w.handled(project, is)
		add("findings "+name, w, sqlListFindings, 10, 0)
		f := VulFilter{Type: VulApp, Handled: is}
		add("count vulnerabilities "+name, vulnerabilitiesWhere(project, f), sqlCountVuls)
		text, all := listVuls(project, f, Page{Limit: 10})
		out["vulnerabilities "+name] = q{text, all}
		w = &where{}
		w.add("i.project_id = ? AND v.advisory = ?", project, "v")
		w.handled(project, is)
		add("affected "+name, w, sqlListAffected, 10, 0)
		add("count affected "+name, w, sqlCountAffected)
	}
	history := historyWhere(project, "v", HistoryFilter{ImageID: "i", ImageName: "n", Action: VulIgnore, Handled: &yes, By: "b", Remark: "r", App: "a", AppVersion: "1"})
	add("history", history, sqlListOperated, 10, 0)
	add("count history", history, sqlCountOperated)
	rules := WhitelistFilter{VulName: "v", VulType: VulApp}.where(project)
	add("whitelist", rules, sqlListRules, 10, 0)
	add("count whitelist", rules, sqlCountRules)
	add("vulnerability choices", vulnerabilitiesWhere(project, vul), sqlListChoice, 10, 0)
	cves := &where{}
	cves.add("v.advisory = ?", "v")
	add("cves", cves, sqlPageCVEs, 10, 0)
	add("count cves", cves, sqlCountCVEs)
	affected := &where{}
	affected.add("i.project_id = ? AND v.advisory = ?", project, "v")
	add("affected", affected, sqlListAffected, 10, 0)
	add("count affected", affected, sqlCountAffected)
	host := every.host()
	host.add("a.project_id = ?", project)
	add("running named", VulContainerFilter{Name: "c"}.where(project), sqlRunningNamed)
	add("agents of hosts", host, sqlHostAgents)
	for name, f := range map[string]ImageFilter{"one": {ContainerID: "c"}, "named": {ContainerName: "c"}, "of pod": {PodID: "p"}, "of pods": {PodName: "p"}} {
		w := f.container()
		w.add("k.project_id = ?", project)
		add("images of containers "+name, w, sqlContainerImages)
	}
	add("affected places", affectedPlacesWhere(project, []int64{1, 2}, "v", true), sqlAffectedPlaces)
	add("image held by", heldByWhere(project, "i", key), sqlImageHeldBy)
	add("containers of image", containersOfWhere(project, "i", "a"), sqlListContainers, 10, 0)
	add("count containers of image", containersOfWhere(project, "i", "a"), sqlCountContainers)
	for name, f := range map[string]RepoFilter{"all": {}, "filtered": {App: "a"}} {
		add("parts by software "+name, f.where("v"), sqlRepoParts)
	}
	add("weak of page", weakWhere([]string{"i", "j"}, "u"), sqlPageWeak, 10, 0)
	for name, f := range map[string]SecretFilter{"all": {}, "filtered": {Path: "p", Severity: "High", Handled: &yes}} {
		w := &where{}
		w.add("cs.content_id = ?", 1)
		add("secrets of image "+name, f.where(w), sqlListImageSecrets, 10, 0)
		add("count secrets of image "+name, w, sqlCountImageSecrets)
		w = &where{}
		w.add("s.project_id = ?", project)
		add("secrets "+name, f.where(w), sqlListAllSecrets, 10, 0)
		add("secrets in order "+name, w, sqlSecretsInOrder)
		add("count secrets "+name, w, sqlCountAllSecrets)
	}
	for name, file := range map[string]string{"all": "", "filtered": "f"} {
		w := &where{}
		w.add("m.content_id = ?", 1)
		w.contains("m.name", file)
		add("malware of image "+name, w, sqlListImageMalware, 10, 0)
		add("count malware of image "+name, w, sqlCountImageMalware)
	}
	for name, app := range map[string]string{"all": "", "named": "a"} {
		add("non-compliant "+name, nonCompliantWhere(1, app), sqlListNonCompliant, 10, 0)
		add("count non-compliant "+name, nonCompliantWhere(1, app), sqlCountNonCompliant)
		for _, denied := range []bool{false, true} {
			f := AppFilter{Name: app, NonCompliant: denied}
			name := fmt.Sprint(name, " ", denied)
			text, all := f.of([]int64{1, 2}, []int64{1, 2}, nil, 10, 0)
			out["software of one "+name] = q{text, all}
			text, all = f.of([]int64{1, 2}, []int64{1, 2}, []int64{3}, 10, 0)
			out["packages of some "+name] = q{text, all}
		}
	}
	reportPlans(project, every, add, func(name, text string, args ...any) { out[name] = q{text, args} })
	for i, statement := range dropChecks {
		out["drop checks "+strconv.Itoa(i)] = q{statement, []any{1}}
	}
	for name, f := range map[string]TaskFilter{"all": {}, "filtered": {ID: "i", Name: "n", TaskType: "t", By: "b", Running: &yes, From: &n, To: &n, Scope: &n}} {
		add("tasks "+name, f.where(project), sqlListTasks, 10, 0)
		add("count tasks "+name, f.where(project), sqlCountTasks)
	}
	taskImages := &where{}
	taskImages.add("ti.task_id = ? AND j.state = ?", "t", jobDone)
	add("task images", taskImages, sqlListTaskImages, 10, 0)
	add("count task images", taskImages, sqlCountTaskImages)
	for name, f := range map[string]LogFilter{"all": {}, "filtered": {Type: "t", Name: "n", ResourceType: "r", Resource: "r", IP: "i", User: "u", From: &n, To: &n}} {
		w := f.where(project)
		w.add("l.id <= ?", 100)
		add("image log "+name, w, sqlListLog, 10, 0)
		add("count image log "+name, f.where(project), sqlCountLog)
	}
	add("running of", ofContents([]int64{3, 4}), sqlRunningOf, 10, 0)
	add("next jobs", nextJobs(auth.Key{ProjectID: project, AgentID: "a"}, []any{"t", "u"}, 1), sqlNextJobs, 10)
	text, all := eventsWhere(project, "CVE-1", 9).query(sqlEvents, 10)
	out["events"] = q{text, all}
	for name, statement := range map[string]string{
		"known parts": sqlKnownParts, "matched of": sqlMatchedOf, "set matched": sqlSetMatched, "vulnerabilities of": sqlVulsOf,
		"cves of": sqlCVEsOf, "queue vulnerabilities": sqlQueueVuls, "queue done": sqlQueueDone, "findings of": sqlFindingsOf,
		"parts of vulnerability": sqlVulParts, "parts of package": sqlPkgParts, "images of": sqlWhoImages, "findings in": sqlWhoFindings,
		"packages in": sqlWhoPlaces, "hosts of": sqlWhoHosts, "containers of": sqlWhoContainers, "parts of packages": sqlPartsOfPackages,
		"cve names": sqlCVENames, "queue keys": sqlQueueKeys, "stored cves": sqlStoredCVEs,
		"findings named": sqlFindingsNamed, "cves held": sqlCVEsHeld, "parts with": sqlPartsWith, "contents with": sqlContentsWith,
		"vulnerabilities in": sqlVulsIn, "parts that count": sqlPartCounts, "parts held": sqlPartsHeld, "judged packages": sqlJudgedPackages,
		"facts of vulnerabilities": which(sqlVulFacts, "WHERE v.id IN {in}"),
		"facts of cves":            which(sqlVulFactCVEs, "WHERE e.vul_id IN {in}"),
		"facts of findings":        which(sqlFindingFacts, "WHERE f.vul_id IN {in}"),
		"index parts":              which(sqlIndexParts, "WHERE content_id IN {in}"),
		"index images":             which(sqlIndexImages, "WHERE content_id IN {in}"),
		"index hosts":              which(sqlIndexHosts, "WHERE content_id IN {in}"),
		"index containers":         which(sqlIndexContainer, "WHERE content_id IN {in}"),
		"index containers held":    which(sqlIndexHeld, "WHERE k.image_id IN {in}"),
		"index baselines":          which(sqlIndexBaselines, "WHERE content_id IN {in}"),
		"index risks":              which(sqlIndexRisks, "WHERE content_id IN {in}"),
		"active jobs":              sqlActiveJobs,
		"queue contents":           sqlQueueContent,
		"holders of contents":      sqlHoldersOf,
		"index weak":               which(sqlIndexWeak, "WHERE content_id IN {in}"),
		"index rules":              which(sqlIndexRules, "WHERE content_id IN {in}"),
		"index checks":             which(sqlIndexChecks, "WHERE content_id IN {in}"),
		"named counted":            sqlNamedCounted, "named owned": sqlNamedOwned,
		"page of hosts": sqlPageHosts, "page of secrets": sqlPageSecrets, "page of vulnerabilities": sqlPageVuls, "page of cves": sqlPageVulCVEs, "page of affected": sqlPageAffected,
		"images of hosts": sqlHostImages, "names of files": sqlFileNames,
		"page of images": sqlPageImages, "page of covered": sqlPageCovered, "page of complexity": sqlPageComplexity,
		"page of build images": strings.Replace(sqlPageBuildImages, "{rule}", "'r'", 1),
		"ignored secrets":      sqlIgnoredSecrets, "drop unheld secrets": sqlDropUnheld, "queue recount": sqlQueueRecount, "recount": sqlRecount,
		"recounted": sqlRecounted, "set skipped": sqlSetSkipped, "set judged": strings.Replace(sqlSetJudged, "{revision}", "7", 1),
		"answers":     sqlAnswers,
		"first scans": sqlFirstScans,
		"names of":    sqlNamesOf,
		"known lists": sqlKnownLists, "parts of lists": sqlFileParts, "lists of parts": sqlListsOf,
		"policies of parts": sqlPartPolicies, "judged places": sqlJudgedPlaces, "images of contents": sqlPlacedImages, "lists of file parts": sqlListParts,
		"places of file": strings.Replace(sqlFilePlaces, "{key}", "7", 1),
	} {
		statement = strings.ReplaceAll(statement, "{in}", "($1, $2)")
		out[name] = q{strings.ReplaceAll(statement, "{these}", "(3, 4)"), []any{1, 2}}
	}
	for name, f := range map[string]q{
		"secrets held":      {sqlSecretsHeld, []any{1}},
		"drop secrets":      {sqlDropSecrets, []any{1}},
		"drop only secrets": {sqlDropOnlySecrets, []any{1}},
		"count secrets of":  {sqlCountSecrets, []any{1}},
		"secret ignored":    {sqlSecretIgnored, []any{1, project}},
		"set ignored":       {sqlSetIgnored, []any{1, 1}},
		"next recount":      {sqlNextRecount, []any{10}},
		"drop recounted":    {sqlDropRecounted, []any{1}},
		"judge next":        {sqlJudgeNext, []any{project, 7, 10}},
		"judge needed":      {sqlJudgeNeeded, nil},
		"paths":             {sqlPaths, []any{project}},
		"drop paths":        {sqlDropPaths, []any{project}},
		"path revision":     {sqlPathRev, []any{project}},
		"drop malware":      {sqlDropMalware, []any{1}},
		"set config":        {sqlSetConfig, []any{"c", 1}},
		"old judged":        {sqlOldJudged, []any{"v", "v", 10}},
		"known baseline":    {sqlKnownBaseline, []any{"c"}},
		"words":             {sqlWords, []any{project}},
		"agents of":         {sqlAgentsOf, []any{project}},
		"drop build":        {sqlDropBuild, []any{1}},
		"set build":         {sqlSetBuild, []any{"v", 1}},
		"build rules of":    {sqlBuildRulesOf, []any{1}},
		"old build":         {sqlOldBuild, []any{"v", "v", 10}},
		"drop cve":          {sqlDropCVE, []any{1, "c"}},
		"shift one":         {sqlShiftOne, []any{1, 1, 1, 1, 1, 1}},
		"file named":        {sqlFileNamed, []any{1}},
		"list of part":      {sqlListOfPart, []any{1}},
		"list held":         {sqlListHeld, []any{1}},
		"drop file part":    {sqlDropFilePart, []any{1}},
		"drop entries":      {sqlDropEntries, []any{1}},
		"count content":     {sqlCountContent, []any{1, 1}},
		"level of all":      {sqlLevelOfAll, []any{1}},
		"parts":             {sqlPartsOf, []any{1}},
		"part held":         {sqlPartHeld, []any{1}},
		"drop placed":       {sqlDropPlaced, []any{1}},
		"put owns":          {sqlPutOwns, []any{project, 1}},
		"queue next":        {sqlQueueNext, []any{10}},
		"named":             {sqlVulsNamed, []any{"n", "n"}},
		"decisions on":      {sqlDecisionsOn, []any{1}},
		"malware in order":  {sqlMalwareInOrder, []any{project}},
		"page of malware":   {strings.Replace(sqlPageMalware, "{keys}", tuples(2, 3), 1), []any{1, 1, "i", 1, 2, "i"}},
		"denied places":     {sqlDeniedPlaces, nil},
		"denied packages":   {sqlDeniedPackages, nil},
		"newer packages":    {sqlNewPackages, []any{1}},
		"packages named":    {sqlNamed, []any{"n", 10}},
		"revised":           {sqlRevised, []any{1, 10}},
		"forget events":     {sqlForgetEvents, []any{1}},
		"named weak":        {sqlNamedWeak, []any{"u"}},
		"baselines of rule": {sqlRuleBaselines, []any{"r", "c", "s"}},
		"start of log":      {sqlFirstLog, []any{project}},
		"end of log":        {sqlLastLog, []any{project}},
		"forget log":        {sqlForgetLog, []any{project, 1}},
		"names of job":      {sqlJobNames, []any{"j"}},
		"counts of checks":  {sqlLogCounts, []any{1}},
		"container's image": {sqlContainerContents, []any{project, "c"}},
		"running rows":      {strings.Replace(sqlRunningRows, "{keys}", tuples(2, 4), 1), []any{"i", "a", "e", "c", "i", "a", "e", "c"}},
		"agent's jobs":      {sqlAgentJobs, []any{"a"}},
		"lapsed":            {sqlLapsed, []any{1}},
		"expired":           {sqlExpired, []any{1, 1}},
		"gone":              {sqlGone, []any{1}},
		"few failed":        {strings.Replace(sqlFewFailed, "{in}", "($1, $2)", 1), []any{"t", "u"}},
		"task failed":       {sqlTaskFailed, []any{"t", 1}},
		"task offline":      {sqlTaskOffline, []any{"t", 1}},
		"old tasks":         {sqlOldTasks, []any{project, 1}},
		"content's jobs":    {sqlContentJobs, []any{1}},
		"holders":           {sqlContentHolders, []any{1}},
		"drop parts":        {sqlDropParts, []any{1}},
		"rules":             {sqlRulesWhole, nil},
		"handled of":        {strings.Replace(sqlHandledOf, "{in}", "(3, 4)", 1), nil},
		"handled in all":    {strings.Replace(sqlHandledAll, "{in}", "(3, 4)", 1), nil},
		"contents in":       {sqlContentsIn, []any{project}},
		"occurrences in":    {strings.Replace(sqlOccurrencesIn, "{in}", "(3, 4)", 1), nil},
		"occurrences of":    {sqlOccurrencesOf, []any{1, project}},
		"images named":      {strings.Replace(sqlImagesNamed, "{in}", "('a', 'b')", 1), nil},
		"image names":       {strings.Replace(sqlImageNames, "{in}", "(3, 4)", 1), nil},
		"all contents":      {sqlAllContents, []any{project}},
		"advisories":        {strings.Replace(sqlAdvisories, "{in}", "(3, 4)", 1), nil},
		"undecide contents": {strings.NewReplacer("{one}", "content_id", "{id}", "7", "{other}", "vul_id", "{in}", "(3, 4)").Replace(sqlUndecide), nil},
		"undecide vuls":     {strings.NewReplacer("{one}", "vul_id", "{id}", "7", "{other}", "content_id", "{in}", "(3, 4)").Replace(sqlUndecide), nil},
		"last operation":    {sqlLastOperation, []any{project}},
		"old operations":    {sqlOldOperations, []any{project, 1}},
		"forget operation":  {sqlForgetImages, []any{project, 1}},
		"digests of images": {strings.Replace(sqlDigestsOf, "{in}", "(3, 4)", 1), nil},
		"rule num":          {sqlRuleNum, []any{project}},
		"type of vul":       {sqlTypeOf, []any{1}},
		"own rule":          {sqlOwnRule, []any{project, 1}},
		"drop listed":       {sqlDropListed, []any{1}},
		"drop rows of rule": {sqlDropRows, []any{1}},
		"one rule":          {sqlOneRule, []any{1, project}},
		"page of listed":    {sqlPageListed, []any{1, 10, 0}},
		"agent's images":    {sqlAgentImages, []any{"a"}},
		"match state":       {sqlMatchState, nil},
		"vex list":          {sqlVEXList, []any{project}},
		"vex content":       {sqlVEXContent, []any{project, "n"}},
		"vex others":        {sqlVEXOthers, []any{project, "n"}},
		"vex images":        {sqlVEXImages, []any{project}},
		"vex digests":       {sqlVEXDigests, []any{project}},
		"vex names of":      {sqlVEXNamesOf, []any{1}},
		"vex digests of":    {sqlVEXDigestsOf, []any{1}},
		"vex packages of":   {sqlPackagesOfPart, []any{1}},
		"config digest":     {sqlConfigDigest, []any{1}},
		"drop containers":   {sqlDropContainers, []any{"a"}},
		"name of image":     {sqlNameOfImage, []any{"i"}},
		"digests of image":  {sqlOtherNames, []any{"i"}},
		"drop digests":      {sqlDropDigests, []any{"i"}},
		"vul known":         {sqlVulKnown, []any{project, "v"}},
		"vul operated":      {sqlVulOperated, []any{project, 1}},
		"has layer":         {sqlHasLayer, []any{"d", "a"}},
		"drop tokens":       {sqlDeleteTokens, []any{1}},
		"agent keys":        {sqlDropAgentKey, []any{"a"}},
		"job num":           {sqlJobNum, []any{jobWaiting}},
		"queue since":       {sqlQueueSince, []any{1}},
		"task agents":       {sqlTaskAgents, []any{"t"}},
		"unqueue":           {sqlUnqueue, []any{"t"}},
		"stop jobs":         {sqlStopJobs, []any{1, "t"}},
		"due policies":      {sqlDuePolicies, []any{1, 10}},
		"policy":            {sqlPolicy, []any{project}},
		"last manual":       {sqlLastManual, []any{project}},
		"limited":           {sqlLimited, []any{1, project}},
		"forget starts":     {sqlForgetStart, []any{"t", 1}},
		"drop task starts":  {sqlDropTaskStarts, []any{"t"}},
		"next project":      {sqlNextProject, []any{"p"}},
		"recent ends":       {sqlRecentEnds, []any{"t", 10}},
		"unreached":         {sqlTaskUnreached, []any{"t", 1}},
		"online":            {sqlTaskOnline, []any{"t", 1}},
		"reasons":           {sqlTaskReasons, []any{"t"}},
		"job images":        {sqlJobImages, []any{"j"}},
		"ended since":       {sqlEndedSince, []any{"t", 1, 10}},
		"number job":        {sqlJobNumber, []any{"t", "j"}},
		"drop task jobs":    {sqlDropTaskJobs, []any{"t"}},
		"old policy":        {sqlOldPolicy, []any{"v", "v", 10}},
		"policy of part":    {sqlPartPolicy, []any{1}},
		"set policy":        {sqlSetPolicy, []any{"v", 1, 1}},
		"drop denied":       {sqlDropDenied, []any{1}},
		"content done":      {sqlContentDone, []any{1, 1, 1, 0, 1, 1, 1, 1}},
		"no chain":          {sqlNoChain, []any{10}},
		"fill chain":        {sqlFillChain, []any{"c", 1, 1}},
		"base of":           {sqlBaseOf, []any{1}},
		"images built":      {sqlImagesBuilt, []any{"c", 9, project, 10}},
		"files of":          {sqlFilesOf, []any{1}},
		"parts of files":    {sqlPartsOfFiles, []any{1}},
		"files from":        {sqlFilesFrom, []any{1, 1, 10}},
		"files at":          {strings.Replace(sqlFilesAt, "{keys}", tuples(2, 2), 1), []any{1, 1, 1, 2}},
		"engines of agents": {sqlEnginesOf, []any{project}},
		"containers of all": {sqlContainersInOrder, []any{project}},
		"enterprises":       {sqlEnterprises, []any{project}},
		"enterprise":        {sqlEnterprise, []any{project, "e"}},
		"key":               {sqlKey, []any{"k"}},
		"token":             {sqlToken, []any{"h", 1}},
		"temporary key":     {sqlTemporary, []any{"k"}},
		"login":             {sqlLogin, []any{"n", ""}},
		"keys of users":     {sqlUserKeys, []any{project}},
		"last refused":      {sqlLastRefused, []any{10}},
		"many refused":      {sqlManyRefused, []any{1, 10}},
		"old audit":         {sqlOldAudit, []any{1, 10}},
		"no files":          {sqlNoFiles, []any{project}},
		"uncounted":         {sqlUncounted, []any{10}},
		"sizes":             {sqlSizes, []any{1}},
		"set count":         {sqlSetCount, []any{1, 1, 1}},
		"exports waiting":   {sqlExportsWaiting, []any{project}},
		"old exports":       {sqlOldExports, []any{project, 10}},
		"export":            {sqlExport, []any{"e"}},
		"export file":       {sqlExportFile, []any{"f", 1}},
		"export chunk":      {sqlExportChunk, []any{"f", 1}},
		"expired exports":   {sqlExpiredExports, []any{1}},
		"queue export file": {sqlQueueFile, []any{"e"}},
		"drop export":       {sqlDropExport, []any{"e"}},
		"drop pieces":       {sqlDropPieces, []any{"f", "f", 16}},
		"free exports":      {sqlFreeExports, []any{1}},
		"next export":       {sqlNextExport, nil},
		"keep export":       {sqlKeepExport, []any{1, "e", "f"}},
		"report rules":      {sqlReportRules, []any{1}},
		"report risks":      {sqlReportRisks, []any{1}},
	} {
		out[name] = f
	}
	return out
}

// reportPlans are the queries of reports.
func reportPlans(project string, every ImageFilter, add func(name string, w *where, statement string, args ...any), put func(name, text string, args ...any)) {
	yes := true
	for name, f := range map[string]ReportImages{
		"all": {}, "filtered": {ImageFilter: every, IDs: []string{"a", "b"}, LatestVersion: true, HasMalware: &yes, HasUnsafe: &yes, Risky: &yes, SeverityLevel: "Low"},
		"latest": {LatestVersion: true},
	} {
		add("report images "+name, f.after(project, ReportImage{}), sqlReportImages, 10)
		for what, statement := range map[string]string{
			"apps": sqlReportedApps, "files": sqlReportedFiles, "no files": sqlReportedNone, "denied": sqlReportedDenied, "malware": sqlReportedMalware,
			"secrets": sqlReportedSecrets, "risks": sqlReportedRisks, "rules": sqlReportedRules,
		} {
			add("reported "+what+" "+name, f.where(project), statement)
		}
		q := ReportQuery{Images: f}
		if name != "all" {
			q.VulType, q.VulIDs = VulApp, []string{"a", "b"}
		}
		text, args := reportedFindings(project, q)
		put("reported findings "+name, text, args...)
		for what, statement := range map[string]string{"here": sqlReportedHere, "all": sqlReportedAll} {
			text, args := reportedHandled(project, q, statement)
			put("reported handled "+what+" "+name, text, args...)
		}
		add("report findings "+name, ofContent("cp.content_id", 1, q.findings()), sqlReportFindings)
	}
}

// TestQueryPlans fails if a query reads a whole table, apart from the page or
// the groups that it has picked by an index itself.
func TestQueryPlans(t *testing.T) {
	w := newWorld(t)
	own := map[string]bool{
		"t": true, "counted": true, "worst": true, "d": true, "q": true, "CONSTANT": true,
		"rematch_queue":  true, // work table
		"export_drop":    true, // work table
		"secret_recount": true, // work table
		"path_revision":  true, // one row a project
		"few":            true, // read by a partial index, which has nothing else
		"names":          true, // part of a name, in the index of names
		"2-ROW":          true, // values of the statement itself
	}
	for name, q := range plans(w.project()) {
		t.Run(name, func(t *testing.T) {
			rows, err := w.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.query, q.args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, q.query)
			}
			defer func() { _ = rows.Close() }()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, detail)
			}
			if err := rows.Err(); err != nil || len(plan) == 0 {
				t.Fatalf("no plan: %v", err)
			}
			for _, step := range plan {
				table, ok := strings.CutPrefix(step, "SCAN ")
				table, _, _ = strings.Cut(table, " ")
				if ok && !own[table] && !strings.HasPrefix(table, "(") {
					t.Errorf("reads all of %s:\n%s\n%s", table, strings.Join(plan, "\n"), q.query)
				}
			}
		})
	}
}

// TestPlanTestSees makes sure that the test above can fail.
func TestPlanTestSees(t *testing.T) {
	w := newWorld(t)
	var id, parent, unused int
	var detail string
	err := w.read.QueryRow("EXPLAIN QUERY PLAN SELECT * FROM finding f WHERE f.fix_state = 'fixed'").Scan(&id, &parent, &unused, &detail)
	if err != nil || !strings.HasPrefix(detail, "SCAN f") {
		t.Errorf("plan of a full scan: %q, %v", detail, err)
	}
}
