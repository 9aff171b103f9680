"""The models of the API: what each endpoint takes and answers. The OpenAPI document is made from them."""
