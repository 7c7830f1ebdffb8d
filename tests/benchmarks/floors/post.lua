-- The request of all rows, for wrk.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"m","messages":[{"role":"user","content":"What is the capital of Country 1?"}],"temperature":0}'
