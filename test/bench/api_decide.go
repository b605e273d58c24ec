package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/onceover/onceover/internal/hss"
)

// What is decided before the lists of decisions are asked for.
const (
	decidedImages = 30
	decidedVuls   = 40
	imagesOfRule  = 20
	vulsOfARow    = 3
)

const (
	pathHandle     = "/image/vulnerability/handle"
	pathWhitelists = "/image/whitelists?global_image_type=local&type=vulnerability&limit=200&offset=0"
)

// decide has some images handled and some vulnerabilities whitelisted, unless an
// earlier run did, and returns the ids of the whitelist rules.
func (d *driver) decide(ctx context.Context) (rules []string, err error) {
	if rules, err = d.rules(ctx); err != nil || len(rules) > 0 {
		return rules, err
	}
	for range decidedImages {
		v := d.ask.values()
		body := hss.HandleImageVulnerabilityRequestBody{ImageType: "local", Type: "linux_vul", OperateType: "ignore",
			SelectType: "specific_image_all_vul", ImageIdList: &[]string{v["image_id"]}, Remark: new("accepted")}
		if err := d.post(ctx, pathHandle, body); err != nil {
			return nil, err
		}
	}
	for range decidedVuls {
		v := d.ask.values()
		var images []hss.AddImageWhiteListsRequestBodyImageInfo
		for range imagesOfRule {
			images = append(images, hss.AddImageWhiteListsRequestBodyImageInfo{ImageId: new(d.ask.values()["image_id"]), ImageType: new("local_image")})
		}
		body := hss.AddImageWhiteListsRequestBody{RuleType: "specific_images", VulIds: &[]string{v["vul_id"]}, ImageInfo: &images}
		if err := d.post(ctx, pathWhitelists, body); err != nil {
			return nil, err
		}
	}
	return d.rules(ctx)
}

// rules are the ids of the whitelist rules.
func (d *driver) rules(ctx context.Context) (ids []string, err error) {
	var list hss.ListImageWhiteListsResponse
	if err := d.ask200(ctx, http.MethodGet, pathWhitelists, nil, &list); err != nil {
		return nil, err
	}
	for _, r := range *list.DataList {
		ids = append(ids, *r.Id)
	}
	return ids, nil
}

// post sends a body that is to be accepted, with nothing in the answer.
func (d *driver) post(ctx context.Context, path string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return d.ask200(ctx, http.MethodPost, path, b, nil)
}

// preview is the body of a question what handling something would touch: all of
// some images, some vulnerabilities wherever they are, or some of both.
func (a *asker) preview() ([]byte, error) {
	body := hss.HandleImageVulnerabilityRequestBody{ImageType: "local", Type: "linux_vul", OperateType: "ignore"}
	var images, vuls []string
	for range 1 + a.rng.IntN(vulsOfARow) {
		v := a.values()
		images, vuls = append(images, v["image_id"]), append(vuls, v["vul_id"])
	}
	switch a.rng.IntN(4) {
	case 0:
		body.SelectType, body.ImageIdList = "specific_image_all_vul", &images
	case 1:
		body.SelectType, body.VulIdList = "specific_vul_all_image", &vuls
	case 2:
		body.SelectType, body.ImageDataList = "image_view", &[]hss.HandleImageVulnerabilityRequestBodyImageDataList{{ImageId: &images[0], VulIdList: &vuls}}
	default:
		body.SelectType, body.VulDataList = "vul_view", &[]hss.HandleImageVulnerabilityRequestBodyVulDataList{{VulId: &vuls[0], ImageIdList: &images}}
	}
	return json.Marshal(body)
}
