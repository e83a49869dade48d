"""ThingsBoard's device SDK over HTTP.

usage: sdk_http.py URL < {"name", "key", "secret"}     prints its API's base address, or the refusal on stderr
"""

import json
import sys

from tb_device_http import TBHTTPDevice, TBProvisionFailure

wanted = json.load(sys.stdin)
try:
    print(TBHTTPDevice.provision(sys.argv[1], wanted["name"], wanted["key"], wanted["secret"]).api_base_url)
except TBProvisionFailure as failure:
    sys.exit(json.dumps(failure.args[0]))
