package hss

// routes names the operations that are built. Every other one of the table
// answers 501.
func (a *api) routes() {
	built := a.built
	built["ListImageLocal"] = Handle(a.listImageLocal)
	built["ListLocalImageAppInfo"] = Handle(a.listLocalImageAppInfo)
	built["ListLocalImageHosts"] = Handle(a.listLocalImageHosts)
	built["ListLocalImageContainers"] = Handle(a.listLocalImageContainers)
	built["ShowImageAssetStatistics"] = Handle(a.showImageAssetStatistics)
	built["ListContainerImages"] = Handle(a.listContainerImages)
	built["ListContainerImageLogs"] = Handle(a.listContainerImageLogs)
	built["ShowImagePayPerScanStatistics"] = Handle(a.showImagePayPerScanStatistics)

	built["BatchScanLocalImage"] = Handle(a.batchScanLocalImage)
	built["CreateManualImageScanTask"] = Handle(a.createManualImageScanTask)
	built["ListImageScanTask"] = Handle(a.listImageScanTask)
	built["StopImageScanTask"] = Handle(a.stopImageScanTask)
	built["ListImageScanPolicy"] = Handle(a.listImageScanPolicy)
	built["ModifyImageScanPolicy"] = Handle(a.modifyImageScanPolicy)

	built["ListImageVulnerabilities"] = Handle(a.listImageVulnerabilities)
	built["ListVulnerabilityCve"] = Handle(a.listVulnerabilityCve)
	built["ListGlobalVulnerabilities"] = Handle(a.listGlobalVulnerabilities)
	built["ListGeneralImageVuls"] = Handle(a.listGeneralImageVuls)
	built["ListVulAffectImages"] = Handle(a.listVulAffectImages)
	built["ListVulAffectImageApps"] = Handle(a.listVulAffectImageApps)
	built["ListVulAffectImageContainers"] = Handle(a.listVulAffectImageContainers)
	built["ListVulContainers"] = Handle(a.listVulContainers)
	built["ListVulContainerApps"] = Handle(a.listVulContainerApps)
	built["ListVulRepoImage"] = Handle(a.listVulRepoImage)

	built["ListImageBuildCommandRisks"] = Handle(a.listImageBuildCommandRisks)
	built["ListImageBuildCommandRisksImages"] = Handle(a.listImageBuildCommandRisksImages)

	built["ListImageRiskConfigs"] = Handle(a.listImageRiskConfigs)
	built["ListImageRiskConfigRules"] = Handle(a.listImageRiskConfigRules)
	built["ShowImageCheckRuleDetail"] = Handle(a.showImageCheckRuleDetail)
	built["ShowImageBaselineStatistic"] = Handle(a.showImageBaselineStatistic)
	built["ListCheckRulesInfo"] = Handle(a.listCheckRulesInfo)
	built["ListCheckRuleResources"] = Handle(a.listCheckRuleResources)
	built["ListImageWeakPwdUsers"] = Handle(a.listImageWeakPwdUsers)
	built["ListImagePwdComplexity"] = Handle(a.listImagePwdComplexity)
	built["ShowExtendedWeakPassword"] = Handle(a.showExtendedWeakPassword)
	built["ChangeExtendedWeakPassword"] = Handle(a.changeExtendedWeakPassword)
	built["ListImageSensitive"] = Handle(a.listImageSensitive)
	built["ListImageSensitiveInfo"] = Handle(a.listImageSensitiveInfo)
	built["ChangeSensitiveInfo"] = Handle(a.changeSensitiveInfo)
	built["ShowFilePathWhiteLists"] = Handle(a.showFilePathWhiteLists)
	built["ShowFilePathWhiteDetail"] = Handle(a.showFilePathWhiteDetail)
	built["ChangeFilePathWhiteLists"] = Handle(a.changeFilePaths)
	built["ChangeFilePathWhiteDetail"] = Handle(a.changeFilePaths)

	built["ListImageMalware"] = Handle(a.listImageMalware)
	built["ListGlobalMalware"] = Handle(a.listGlobalMalware)
	built["ListImageApps"] = Handle(a.listImageApps)
	built["ListGlobalImageApps"] = Handle(a.listGlobalImageApps)
	built["ListImageNonCompliantApp"] = Handle(a.listImageNonCompliantApp)
	built["ListImageBasicImage"] = Handle(a.listImageBasicImage)
	built["ListImageFiles"] = Handle(a.listImageFiles)
	built["ListGlobalImageFiles"] = Handle(a.listGlobalImageFiles)
	built["ShowImageFilesStat"] = Handle(a.showImageFilesStat)
}
