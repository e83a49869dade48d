"""ThingsBoard's manual over CoAP: one POST by CoAPthon3.

usage: manual_coap.py PORT < request.json     prints the answer
"""

import json
import sys

from coapthon.client.helperclient import HelperClient

to_publish = json.load(sys.stdin)
client = HelperClient(server=("127.0.0.1", int(sys.argv[1])))
response = client.post("/api/v1/provision", json.dumps(to_publish), timeout=20)
print(response.payload)
client.stop()
