"""Words for company names: three lists that make 104,280 combinations."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_WORDS: Final = _words("""
    Alder Amber Anchor Apex Arbor Ashford Atlas Aurora Banyan Basalt Beacon Birch Bluewater Bramble Bridgeport
    Brightwell Caldera Canyon Cardinal Cascade Cedar Chestnut Cinder Clearview Cobalt Compass Copper Coral Crescent
    Crestline Cypress Delta Drift Eastgate Elmwood Ember Evergreen Fairway Falcon Fernhill Foxglove Garnet Glacier
    Granite Greenfield Hadley Halcyon Harbour Harvest Hawthorn Hazel Heron Highland Horizon Indigo Ironwood Ivory
    Jasper Juniper Kestrel Keystone Kingfisher Lakeshore Lantern Larch Laurel Linden Lotus Magnolia Mallard Maple
    Marigold Meadow Meridian Millbrook Moorland Mosaic Northwind Oakridge Onyx Orchard Osprey Palisade Peregrine
    Pinecrest Quarry Redwood Ridgeway Riverbend Rowan Saffron Sandpiper Sequoia Silverlake Sparrow Starling
    Stonebridge Summit Sycamore Tamarind Thistle Timber Upland Valley Verdant Westbrook Willow Windmill Yarrow
    Zephyr
""")
SECOND_WORDS: Final = _words("""
    Advisory Aerospace Analytics Apparel Automation Bakeries Biotech Brewing Capital Catering Ceramics Chemicals
    Clinics Coffee Components Construction Consulting Couriers Dairy Dental Design Diagnostics Education Electric
    Energy Engineering Farms Finance Foods Freight Furniture Gardens Glassworks Hardware Health Homes Hotels Housing
    Instruments Insurance Interiors Labs Legal Lighting Logistics Machinery Marine Media Metals Motors Networks
    Optics Outfitters Packaging Partners Pharma Plastics Power Press Printing Properties Publishing Recruiting
    Robotics Security Shipping Software Solar Studios Supply Systems Telecom Textiles Timber Tools Tours Toys Travel
    Ventures
""")
LAST_WORDS: Final = ("Ltd", "GmbH", "Inc", "Pvt Ltd", "AB", "SA", "Group", "LLC", "BV", "Oy", "Pty Ltd", "Co")
